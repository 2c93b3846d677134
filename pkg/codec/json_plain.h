/*
 * How much of a text stands for itself in a JSON string, eight bytes at a time: reading and writing strings
 * is most of what a codec does, and nearly all bytes are plain.
 */
#ifndef KATENA_CODEC_JSON_PLAIN_H
#define KATENA_CODEC_JSON_PLAIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JSON_PLAIN_EACH(byte) (0x0101010101010101ull * (byte))

/* The high bit of each byte of word that is below 0x20, a quote, a backslash or (ascii) above 0x7f. Behind
 * the first such byte, counted from the lowest, bits may be wrong. */
static inline uint64_t json_plain_stops(uint64_t word, int ascii)
{
    uint64_t quote = word ^ JSON_PLAIN_EACH('"'), backslash = word ^ JSON_PLAIN_EACH('\\');
    uint64_t control = (word - JSON_PLAIN_EACH(0x20)) & ~word;
    quote = (quote - JSON_PLAIN_EACH(1)) & ~quote;
    backslash = (backslash - JSON_PLAIN_EACH(1)) & ~backslash;
    return (control | quote | backslash | (ascii ? word : 0)) & JSON_PLAIN_EACH(0x80);
}

/* The length of the plain beginning of text. With ascii, bytes above 0x7f end it. */
static inline size_t json_plain_len(const char *text, size_t len, int ascii)
{
    size_t i = 0;
    for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text + i, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        uint64_t stops = json_plain_stops(word, ascii);
        if (stops)
            return i + (size_t)__builtin_ctzll(stops) / 8;
    }
    for (; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == '"' || c == '\\' || (ascii && c > 0x7f))
            break;
    }
    return i;
}

#endif
