/* What a pod asks for; see model.h. */
#include "scheduler/model.h"

#include "codec/json.h"
#include "object/quantity.h"

#include <string.h>

/* For the scores, a container that asks for nothing still counts, so that such pods spread too. */
#define SCORE_CPU_MILLI 100
#define SCORE_MEMORY (200LL * 1024 * 1024)

struct totals {
    struct sched_resources r;
    int64_t score_cpu_milli, score_memory;
};

void sched_resources_free(struct sched_resources *r)
{
    json_decref(r->extended);
    *r = (struct sched_resources){0};
}

static const char *quantity_text(const json_t *value, char number[32])
{
    if (!json_is_integer(value))
        return json_string_value(value);
    snprintf(number, 32, "%lld", (long long)json_integer_value(value));
    return number;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void extended_combine(struct sched_resources *to, const char *name, int64_t value, bool add)
{
    if (!to->extended)
        to->extended = json_object();
    int64_t old = json_int_or(0, to->extended, name);
    json_set_int(to->extended, name, add ? old + value : max64(old, value));
}

/* Adds the amounts of a resource list, or takes the greater ones. */
static void combine_list(struct sched_resources *to, const json_t *list, bool add)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)list, name, value)
    {
        char number[32];
        const char *text = quantity_text(value, number);
        int64_t amount = 0;
        if (!text)
            continue;
        if (!strcmp(name, "cpu") ? !quantity_milli(text, &amount) : !quantity_value(text, &amount))
            continue;
        int64_t *field = !strcmp(name, "cpu")                 ? &to->cpu_milli
                         : !strcmp(name, "memory")            ? &to->memory
                         : !strcmp(name, "ephemeral-storage") ? &to->ephemeral
                                                              : NULL;
        if (field)
            *field = add ? *field + amount : max64(*field, amount);
        else if (strcmp(name, "pods") != 0)
            extended_combine(to, name, amount, add);
    }
}

static void combine(struct sched_resources *to, const struct sched_resources *from, bool add)
{
    to->cpu_milli = add ? to->cpu_milli + from->cpu_milli : max64(to->cpu_milli, from->cpu_milli);
    to->memory = add ? to->memory + from->memory : max64(to->memory, from->memory);
    to->ephemeral = add ? to->ephemeral + from->ephemeral : max64(to->ephemeral, from->ephemeral);
    const char *name;
    json_t *value;
    json_object_foreach(from->extended, name, value)
        extended_combine(to, name, json_integer_value(value), add);
}

static void combine_totals(struct totals *to, const struct totals *from, bool add)
{
    combine(&to->r, &from->r, add);
    if (add) {
        to->score_cpu_milli += from->score_cpu_milli;
        to->score_memory += from->score_memory;
    } else {
        to->score_cpu_milli = max64(to->score_cpu_milli, from->score_cpu_milli);
        to->score_memory = max64(to->score_memory, from->score_memory);
    }
}

static struct totals container_totals(const json_t *container)
{
    const json_t *requests = json_at(container, "resources", "requests");
    struct totals t = {0};
    combine_list(&t.r, requests, true);
    t.score_cpu_milli = json_object_get(requests, "cpu") ? t.r.cpu_milli : SCORE_CPU_MILLI;
    t.score_memory = json_object_get(requests, "memory") ? t.r.memory : SCORE_MEMORY;
    return t;
}

/* Sidecars run on beside what comes after them; other init containers run alone with the sidecars before. */
static struct totals init_totals(const json_t *pod, struct totals *sidecars)
{
    struct totals most = {0};
    size_t i;
    json_t *container;
    json_array_foreach(json_at(pod, "spec", "initContainers"), i, container)
    {
        struct totals t = container_totals(container);
        if (!strcmp(json_str_or_empty(container, "restartPolicy"), "Always")) {
            combine_totals(sidecars, &t, true);
            combine_totals(&most, sidecars, false);
        } else {
            combine_totals(&t, sidecars, true);
            combine_totals(&most, &t, false);
        }
        sched_resources_free(&t.r);
    }
    return most;
}

void sched_requests(const json_t *pod, struct sched_resources *out, int64_t *score_cpu_milli,
                    int64_t *score_memory)
{
    struct totals sum = {0}, sidecars = {0};
    size_t i;
    json_t *container;
    json_array_foreach(json_at(pod, "spec", "containers"), i, container)
    {
        struct totals t = container_totals(container);
        combine_totals(&sum, &t, true);
        sched_resources_free(&t.r);
    }
    struct totals init = init_totals(pod, &sidecars);
    combine_totals(&sum, &sidecars, true);
    combine_totals(&sum, &init, false);
    sched_resources_free(&sidecars.r);
    sched_resources_free(&init.r);
    struct totals overhead = {0};
    combine_list(&overhead.r, json_at(pod, "spec", "overhead"), true);
    overhead.score_cpu_milli = overhead.r.cpu_milli;
    overhead.score_memory = overhead.r.memory;
    combine_totals(&sum, &overhead, true);
    sched_resources_free(&overhead.r);
    *out = sum.r;
    *score_cpu_milli = sum.score_cpu_milli;
    *score_memory = sum.score_memory;
}
