#!/usr/bin/env python3
"""Compiles api/ into one C file of constant tables (the structs of pkg/object/schema.h).

Usage: compile_schemas.py API_FOLDER OUTPUT.c

Runs at build time; the output depends on nothing but the files in api/. docs/adding-a-kind.md describes them.
"""

import hashlib
import json
import os
import sys

TYPES = {
    name: "SCHEMA_" + name.upper()
    for name in (
        "message string int32 int64 bool double bytes quantity int_or_string time micro_time duration raw "
        "fields_v1 any strings"
    ).split()
}
SHAPES = {"single": "SCHEMA_SINGLE", "list": "SCHEMA_LIST", "map": "SCHEMA_MAP"}
LIST_TYPES = {"atomic": "SCHEMA_LIST_ATOMIC", "set": "SCHEMA_LIST_SET", "map": "SCHEMA_LIST_MAP"}
PATCHES = {
    "replace": "SCHEMA_PATCH_REPLACE",
    "merge": "SCHEMA_PATCH_MERGE",
    "retainKeys": "SCHEMA_PATCH_RETAIN_KEYS",
    "merge,retainKeys": "SCHEMA_PATCH_MERGE_RETAIN_KEYS",
}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def read(path):
    with open(path, encoding="utf-8") as source:
        try:
            return json.load(source)
        except ValueError as error:
            sys.exit(f"{path}: {error}")


def literal(text):
    """A C string literal; NULL for None."""
    if text is None:
        return "NULL"
    out = []
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\':
            out.append("\\" + char)
        elif 32 <= byte < 127:
            out.append(char)
        else:
            out.append("\\%03o" % byte)
    return '"' + "".join(out).replace("??", "?\\?") + '"'


def boolean(value):
    return "true" if value else "false"


class Message:
    def __init__(self, name, group, facts):
        self.name = name
        self.short = name.rsplit(".", 1)[1]
        self.group = group
        self.fields = facts["fields"]
        self.atomic = facts.get("atomic", False)
        self.symbol = name.replace(".", "_").replace("-", "_")
        self.is_kind = any(field["name"] == "apiVersion" and "number" not in field for field in self.fields)


class Tables:
    """Loads api/ and writes the tables."""

    def __init__(self, api):
        self.messages = {}
        self.kinds = []
        self.lists = {}  # a NULL-terminated list of strings -> its symbol
        self.out = []
        self.descriptions = read(os.path.join(api, "descriptions.json"))
        self.defaults = read(os.path.join(api, "defaults.json"))
        for group in read(os.path.join(api, "groups.json"))["groups"]:
            self.load(api, group)
        self.kinds.sort(key=lambda kind: (kind["group"], kind["version"], kind["plural"]))
        self.check()

    def load(self, api, group):
        folder = os.path.join(api, group["folder"], group["version"])
        prefix = group.get("prefix") or "io.k8s." + group["package"][len("k8s.io/") :].replace("/", ".") + "."
        for name, facts in read(os.path.join(folder, "types.json")).items():
            self.messages[prefix + name] = Message(prefix + name, group, facts)
        for name in sorted(os.listdir(folder)):
            if name.endswith(".json") and name != "types.json":
                kind = read(os.path.join(folder, name))
                kind["group"], kind["version"] = group["group"], group["version"]
                kind["message"] = prefix + kind["kind"]
                kind["file"] = os.path.join(folder, name)
                self.kinds.append(kind)

    def check(self):
        for kind in self.kinds:
            if kind["message"] not in self.messages:
                sys.exit(f"{kind['file']}: {kind['message']} is not in types.json; run hack/gen-schemas")
        for message in self.messages.values():
            for field in message.fields:
                if "message" in field and field["message"] not in self.messages:
                    sys.exit(f"{message.name}.{field['name']}: no message {field['message']}")
        known = {f"{m.short}.{f['name']}" for m in self.messages.values() for f in m.fields}
        for key in self.defaults:
            if key not in known:
                sys.exit(f"api/defaults.json: there is no field {key}")

    def describe(self, message, field):
        fields = self.descriptions["fields"]
        return fields.get(message.short + "." + field["name"], fields.get(field["name"], ""))

    def strings(self, values):
        if not values:
            return "NULL"
        key = tuple(values)
        if key not in self.lists:
            self.lists[key] = f"strings_{len(self.lists)}"
            items = ", ".join(literal(value) for value in values)
            self.out.append(f"static const char *const {self.lists[key]}[] = {{{items}, NULL}};")
        return self.lists[key]

    def field(self, message, field):
        target = field.get("message")
        default = field.get("default", self.defaults.get(message.short + "." + field["name"]))
        patch = PATCHES[field.get("patch", "replace")]
        return (
            "    {.name = %s, .number = %d, .type = %s, .shape = %s, .list_type = %s, .patch = %s,\n"
            "     .required = %s, .omit_empty = %s, .pointer = %s, .atomic = %s, .message = %s, .merge_key = %s,\n"
            "     .map_keys = %s, .default_json = %s, .enum_values = %s,\n     .description = %s},"
        ) % (
            literal(field["name"]),
            field.get("number", 0),
            TYPES[field["type"]],
            SHAPES[field.get("shape", "single")],
            LIST_TYPES[field.get("listType", "atomic")],
            patch,
            boolean(field.get("required")),
            boolean(field.get("omitEmpty")),
            boolean(field.get("pointer")),
            boolean(field.get("atomic")),
            "&" + self.messages[target].symbol if target else "NULL",
            literal(field.get("mergeKey")),
            self.strings(field.get("mapKeys")),
            literal(None if default is None else json.dumps(default)),
            self.strings(field.get("enum")),
            literal(self.describe(message, field)),
        )

    def members(self, message):
        """(name, "&table[i]") of every JSON member, those of inlined messages in their place."""
        for i, field in enumerate(message.fields):
            if field["name"]:
                yield field["name"], f"&fields_{message.symbol}[{i}]"
            else:
                yield from self.members(self.messages[field["message"]])

    def emit_message(self, message):
        rows = [self.field(message, field) for field in message.fields]
        fields = index = members = numbers = "NULL"
        listed = list(self.members(message))
        if rows:
            fields = f"fields_{message.symbol}"
            self.out.append(f"static const struct schema_field {fields}[] = {{")
            self.out += rows
            self.out.append("};")
            members, index = f"members_{message.symbol}", f"index_{message.symbol}"
            self.late.append(f"static const struct schema_member {members}[] = {{")
            self.late += [f"    {{{literal(name)}, {len(name)}, {ref}}}," for name, ref in listed]
            order = sorted(range(len(listed)), key=lambda i: (len(listed[i][0]), listed[i][0].encode()))
            numbers = f"numbers_{message.symbol}"
            by_number = sorted(range(len(rows)), key=lambda i: message.fields[i].get("number", 0))
            self.out.append(f"static const uint8_t {numbers}[] = {{{', '.join(map(str, by_number))}}};")
            self.late += ["};", f"static const uint8_t {index}[] = {{{', '.join(map(str, order))}}};"]
        group = message.group
        self.late.append(
            f"static const struct schema_message {message.symbol} = {{\n"
            f"    .name = {literal(message.name)},\n"
            f"    .description = {literal(self.descriptions['messages'].get(message.short, ''))},\n"
            f"    .fields = {fields}, .field_count = {len(rows)}, .numbers = {numbers}, .members = {members}, "
            f".member_count = {len(listed)}, .index = {index}, .atomic = {boolean(message.atomic)},\n"
            f"    .group = {literal(group['group'] if message.is_kind else None)}, "
            f".version = {literal(group['version'] if message.is_kind else None)}, "
            f".kind = {literal(message.short if message.is_kind else None)}}};"
        )

    def emit_messages(self):
        self.late = []
        for message in self.messages.values():
            self.out.append(f"static const struct schema_message {message.symbol};")
        for message in self.messages.values():
            self.emit_message(message)
        self.out += self.late
        self.out.append("const struct schema_message *const schema__messages[] = {")
        for name in sorted(self.messages):
            self.out.append(f"    &{self.messages[name].symbol},")
        self.out += ["};", f"const size_t schema__message_count = {len(self.messages)};"]

    def column(self, kind, column):
        texts = self.descriptions["columns"]
        text = texts.get(kind["kind"] + "." + column["name"], texts.get(column["name"], ""))
        return "    {%s, %s, %s, %s, %d, %s}," % (
            literal(column["name"]),
            literal(column["type"]),
            literal(column.get("format", "")),
            literal(text),
            column.get("priority", 0),
            literal(column["expression"]),
        )

    def subresource(self, kind, sub):
        return "    {%s, %s, %s, %s, %s}," % (
            literal(sub["name"]),
            literal(sub.get("kind", kind["kind"])),
            literal(sub.get("group")),
            literal(sub.get("version")),
            self.strings(sub["verbs"]),
        )

    def table(self, kind, what, struct, row):
        items = kind.get(what)
        if not items:
            return "NULL"
        symbol = f"{what}_{self.messages[kind['message']].symbol}"
        rows = [row(kind, item) for item in items]
        self.out += [f"static const struct {struct} {symbol}[] = {{"] + rows + ["};"]
        return symbol

    def kind(self, kind):
        verbs = kind.get("verbs", VERBS)
        listed = self.messages.get(kind["message"] + "List")
        return (
            "    {.group = %s, .version = %s, .kind = %s, .list_kind = %s, .plural = %s, .singular = %s,\n"
            "     .short_names = %s, .categories = %s, .namespaced = %s, .virtual_ = %s, .has_generation = %s,\n"
            "     .verbs = %s, .subresources = %s, .subresource_count = %d, .columns = %s, .column_count = %d,\n"
            "     .field_selectors = %s, .immutable = %s, .message = &%s, .list_message = %s},"
        ) % (
            literal(kind["group"]),
            literal(kind["version"]),
            literal(kind["kind"]),
            literal(kind["kind"] + "List"),
            literal(kind["plural"]),
            literal(kind["singular"]),
            self.strings(kind.get("shortNames")),
            self.strings(kind.get("categories")),
            boolean(kind["namespaced"]),
            boolean(kind.get("virtual")),
            boolean(kind.get("generation")),
            self.strings(verbs),
            self.table(kind, "subresources", "schema_subresource", self.subresource),
            len(kind.get("subresources", [])),
            self.table(kind, "columns", "schema_column", self.column),
            len(kind.get("columns", [])),
            self.strings(kind.get("fieldSelectors")),
            self.strings(kind.get("immutable")),
            self.messages[kind["message"]].symbol,
            "&" + listed.symbol if listed else "NULL",
        )

    def emit(self):
        self.out += ["/* Made from api/ by cmake/compile_schemas.py. */", '#include "object/schema_internal.h"', ""]
        self.emit_messages()
        rows = [self.kind(kind) for kind in self.kinds]
        self.out += ["const struct schema_kind schema__kinds[] = {"] + rows + ["};"]
        self.out.append(f"const size_t schema__kind_count = {len(rows)};")
        digest = hashlib.sha256("\n".join(self.out).encode()).hexdigest()
        self.out.append(f'const char schema__hash[] = "{digest[:32]}";')
        return "\n".join(self.out) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    text = Tables(sys.argv[1]).emit()
    with open(sys.argv[2], "w", encoding="ascii") as out:
        out.write(text)


main()
