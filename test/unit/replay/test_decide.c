/* The rules of replay, each as three versions of an object and what is to become of them. */
#include "unit.h"

#include "base/buf.h"
#include "codec/json.h"
#include "json_text.h"
#include "object/registry.h"
#include "replay/replay.h"

struct row {
    const char *name;
    const char *kind; /* "apps/deployments", "/pods"; NULL: unknown */
    enum replay_verb verb;
    bool strict;
    const char *base, *orphan, *current; /* NULL: absent */
    enum replay_outcome outcome;
    const char *merged; /* with REPLAY_PUT */
    const char *losses; /* "path: winner < loser\n" each */
};

#define META(rest) "'metadata':{'name':'x','uid':'u1'" rest "}"

static const struct schema_kind *kind_of(const char *text)
{
    if (!text)
        return NULL;
    const char *slash = strchr(text, '/');
    char group[64];
    snprintf(group, sizeof(group), "%.*s", (int)(slash - text), text);
    const struct schema_kind *kind = registry_by_resource(group, NULL, slash + 1);
    assert_non_null(kind);
    return kind;
}

static json_t *value_of(const char *text)
{
    return text ? jq("%s", text) : NULL;
}

static void append_value(struct buf *out, const json_t *value)
{
    if (value)
        json_dump_buf(out, value);
    else
        buf_puts(out, "-");
}

static char *losses_text(const struct replay_decision *decision)
{
    struct buf out = BUF_INIT;
    buf_puts(&out, "");
    for (size_t i = 0; i < decision->loss_count; i++) {
        buf_printf(&out, "%s: ", decision->losses[i].path);
        append_value(&out, decision->losses[i].winner);
        buf_puts(&out, " < ");
        append_value(&out, decision->losses[i].loser);
        buf_putc(&out, '\n');
    }
    buf_reserve(&out, 1);
    for (char *p = out.data; p && *p; p++)
        *p = *p == '"' ? '\'' : *p;
    return buf_steal(&out);
}

static void check_row(const struct row *row)
{
    json_auto_t *base = value_of(row->base);
    json_auto_t *orphan = value_of(row->orphan);
    json_auto_t *current = value_of(row->current);
    json_auto_t *expected = value_of(row->merged);
    struct replay_case c = {kind_of(row->kind), row->verb, row->strict, base, orphan, current};
    struct replay_decision decision;
    replay_decide(&decision, &c);
    char *losses = losses_text(&decision);
    char *merged = decision.merged ? json_dumps(decision.merged, JSON_COMPACT) : NULL;
    if (decision.outcome != row->outcome || strcmp(losses ?: "", row->losses ?: "") != 0 ||
        (decision.outcome == REPLAY_LOST) != (decision.reason != NULL) ||
        (row->merged && !json_equal(decision.merged, expected)))
        fail_msg("%s: outcome %d (%s), merged %s, losses:\n%s", row->name, decision.outcome,
                 decision.reason ?: "-", merged ?: "-", losses ?: "");
    free(losses);
    free(merged);
    replay_decision_free(&decision);
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_row(&rows[i]);
}
#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof(*(rows)))

#define CM "/configmaps"
#define DEPLOY "apps/deployments"
#define POD "/pods"

/* ---- rules 1 to 4: a change over another ---- */

static void test_maps(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"unchanged base", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1'}}",
         "{" META() ",'data':{'a':'2'}}", "{" META() ",'data':{'a':'1'}}", REPLAY_PUT,
         "{" META() ",'data':{'a':'2'}}", NULL},
        {"disjoint", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1','b':'1'}}",
         "{" META() ",'data':{'a':'2','b':'1'}}", "{" META() ",'data':{'a':'1','b':'2'}}", REPLAY_PUT,
         "{" META() ",'data':{'a':'2','b':'2'}}", NULL},
        {"same value", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1'}}",
         "{" META() ",'data':{'a':'2'}}", "{" META() ",'data':{'a':'2'}}", REPLAY_NOTHING, NULL, NULL},
        {"other value", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1'}}",
         "{" META() ",'data':{'a':'2'}}", "{" META() ",'data':{'a':'3'}}", REPLAY_NOTHING, NULL,
         ".data.a: '3' < '2'\n"},
        {"part lost, part kept", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1'}}",
         "{" META() ",'data':{'a':'2','n':'1'}}", "{" META() ",'data':{'a':'3'}}", REPLAY_PUT,
         "{" META() ",'data':{'a':'3','n':'1'}}", ".data.a: '3' < '2'\n"},
        {"removal", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1','b':'1'}}",
         "{" META() ",'data':{'b':'1'}}", "{" META() ",'data':{'a':'1','b':'2'}}", REPLAY_PUT,
         "{" META() ",'data':{'b':'2'}}", NULL},
        {"removal of what changed", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1','b':'1'}}",
         "{" META() ",'data':{'b':'1'}}", "{" META() ",'data':{'a':'2','b':'1'}}", REPLAY_NOTHING, NULL,
         ".data.a: '2' < -\n"},
        {"change of what was removed", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1','b':'1'}}",
         "{" META() ",'data':{'a':'2','b':'1'}}", "{" META() ",'data':{'b':'1'}}", REPLAY_NOTHING, NULL,
         ".data.a: - < '2'\n"},
        {"a map that is gone takes new members", CM, REPLAY_CHANGE, false,
         "{'metadata':{'name':'x','uid':'u1','labels':{'a':'1'}}}",
         "{'metadata':{'name':'x','uid':'u1','labels':{'a':'1','n':'2'}}}", "{" META() "}", REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1','labels':{'n':'2'}}}", NULL},
        {"a map that is taken away keeps new members", CM, REPLAY_CHANGE, false,
         "{" META() ",'data':{'a':'1'}}", "{" META() "}", "{" META() ",'data':{'a':'1','n':'2'}}", REPLAY_PUT,
         "{" META() ",'data':{'n':'2'}}", NULL},
        {"a map that is taken away", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1'}}",
         "{" META() "}", "{" META() ",'data':{'a':'1'},'immutable':true}", REPLAY_PUT,
         "{" META() ",'immutable':true}", NULL},
    };
    CHECK(rows);
}

static void test_metadata(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"what the server keeps is no change", CM, REPLAY_CHANGE, false,
         "{'metadata':{'name':'x','uid':'u1','resourceVersion':'1','generation':1}}",
         "{'metadata':{'name':'x','uid':'u1','resourceVersion':'2','generation':2}}",
         "{'metadata':{'name':'x','uid':'u1','resourceVersion':'3','generation':5}}", REPLAY_NOTHING, NULL,
         NULL},
        {"labels by key", CM, REPLAY_CHANGE, false,
         "{'metadata':{'name':'x','uid':'u1','labels':{'a':'1'},'resourceVersion':'1'}}",
         "{'metadata':{'name':'x','uid':'u1','labels':{'a':'1','b':'2'},'resourceVersion':'2'}}",
         "{'metadata':{'name':'x','uid':'u1','labels':{'a':'1','c':'3'},'resourceVersion':'3'}}", REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1','labels':{'a':'1','c':'3','b':'2'},'resourceVersion':'3'}}",
         NULL},
        {"finalizers are a set", CM, REPLAY_CHANGE, false,
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a/x','b/x']}}",
         "{'metadata':{'name':'x','uid':'u1','finalizers':['b/x','o/x']}}",
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a/x','b/x','c/x']}}", REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1','finalizers':['b/x','o/x','c/x']}}", NULL},
        {"owners by uid", CM, REPLAY_CHANGE, false, "{" META() "}",
         "{'metadata':{'name':'x','uid':'u1','ownerReferences':[{'uid':'o1','name':'a'}]}}",
         "{'metadata':{'name':'x','uid':'u1','ownerReferences':[{'uid':'o2','name':'b'}]}}", REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1','ownerReferences':[{'uid':'o1','name':'a'},"
         "{'uid':'o2','name':'b'}]}}",
         NULL},
        {"kubectl's own note makes no conflict", CM, REPLAY_CHANGE, false, "{" META() "}",
         "{'metadata':{'name':'x','uid':'u1','annotations':"
         "{'kubectl.kubernetes.io/last-applied-configuration':'1','k':'v'}}}",
         "{'metadata':{'name':'x','uid':'u1','annotations':"
         "{'kubectl.kubernetes.io/last-applied-configuration':'2'}}}",
         REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1','annotations':"
         "{'kubectl.kubernetes.io/last-applied-configuration':'2','k':'v'}}}",
         NULL},
    };
    CHECK(rows);
}

#define SPEC(containers) "{" META() ",'spec':{'template':{'spec':{'containers':[" containers "]}}}}"

static void test_lists(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"two containers", DEPLOY, REPLAY_CHANGE, false,
         SPEC("{'name':'a','image':'1'},{'name':'b','image':'1'}"),
         SPEC("{'name':'a','image':'2'},{'name':'b','image':'1'}"),
         SPEC("{'name':'a','image':'1'},{'name':'b','image':'2'}"), REPLAY_PUT,
         SPEC("{'name':'a','image':'2'},{'name':'b','image':'2'}"), NULL},
        {"one field of one container", DEPLOY, REPLAY_CHANGE, false, SPEC("{'name':'a','image':'1'}"),
         SPEC("{'name':'a','image':'2'}"), SPEC("{'name':'a','image':'3'}"), REPLAY_NOTHING, NULL,
         ".spec.template.spec.containers[name='a'].image: '3' < '2'\n"},
        {"both add one, by another name", DEPLOY, REPLAY_CHANGE, false, SPEC("{'name':'a'}"),
         SPEC("{'name':'a'},{'name':'o'}"), SPEC("{'name':'c'},{'name':'a'}"), REPLAY_PUT,
         SPEC("{'name':'c'},{'name':'a'},{'name':'o'}"), NULL},
        {"the orphan's order where the current is the base's", DEPLOY, REPLAY_CHANGE, false,
         SPEC("{'name':'a'},{'name':'b'}"), SPEC("{'name':'b'},{'name':'a'}"),
         SPEC("{'name':'a'},{'name':'b','image':'2'}"), REPLAY_PUT,
         SPEC("{'name':'b','image':'2'},{'name':'a'}"), NULL},
        {"removal of an item that changed", DEPLOY, REPLAY_CHANGE, false,
         SPEC("{'name':'a','image':'1'},{'name':'b','image':'1'}"), SPEC("{'name':'a','image':'1'}"),
         SPEC("{'name':'a','image':'1'},{'name':'b','image':'2'}"), REPLAY_NOTHING, NULL,
         ".spec.template.spec.containers[name='b']: {'name':'b','image':'2'} < -\n"},
        {"ports by two keys", DEPLOY, REPLAY_CHANGE, false,
         SPEC("{'name':'a','ports':[{'containerPort':53,'protocol':'TCP'}]}"),
         SPEC("{'name':'a','ports':[{'containerPort':53,'protocol':'TCP'},{'containerPort':53,'protocol':"
              "'UDP'}]}"),
         SPEC("{'name':'a','ports':[{'containerPort':53,'protocol':'TCP','name':'dns'}]}"), REPLAY_PUT,
         SPEC("{'name':'a','ports':[{'containerPort':53,'protocol':'TCP','name':'dns'},{'containerPort':53,"
              "'protocol':'UDP'}]}"),
         NULL},
        {"an atomic list", DEPLOY, REPLAY_CHANGE, false, SPEC("{'name':'a','args':['1']}"),
         SPEC("{'name':'a','args':['1','2']}"), SPEC("{'name':'a','args':['0','1']}"), REPLAY_NOTHING, NULL,
         ".spec.template.spec.containers[name='a'].args: ['0','1'] < ['1','2']\n"},
        {"names that occur twice make a list atomic", DEPLOY, REPLAY_CHANGE, false,
         SPEC("{'name':'a'},{'name':'a'}"), SPEC("{'name':'a'},{'name':'a'},{'name':'b'}"),
         SPEC("{'name':'c'}"), REPLAY_NOTHING, NULL,
         ".spec.template.spec.containers: [{'name':'c'}] < [{'name':'a'},{'name':'a'},{'name':'b'}]\n"},
    };
    CHECK(rows);
}

static void test_structs(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"an atomic struct", "/services", REPLAY_CHANGE, false, "{" META() ",'spec':{'selector':{'a':'1'}}}",
         "{" META() ",'spec':{'selector':{'a':'1','b':'2'}}}",
         "{" META() ",'spec':{'selector':{'a':'1','c':'3'}}}", REPLAY_NOTHING, NULL,
         ".spec.selector: {'a':'1','c':'3'} < {'a':'1','b':'2'}\n"},
        {"what excludes one another is not mixed", DEPLOY, REPLAY_CHANGE, false,
         "{" META() ",'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}}",
         "{" META() ",'spec':{'strategy':{'type':'Recreate'}}}",
         "{" META() ",'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':2}}}}",
         REPLAY_NOTHING, NULL,
         ".spec.strategy: {'type':'RollingUpdate','rollingUpdate':{'maxSurge':2}} < {'type':'Recreate'}\n"},
        {"but its parts are merged", DEPLOY, REPLAY_CHANGE, false,
         "{" META() ",'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1,"
                    "'maxUnavailable':1}}}}",
         "{" META() ",'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':2,"
                    "'maxUnavailable':1}}}}",
         "{" META() ",'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1,"
                    "'maxUnavailable':2}}}}",
         REPLAY_PUT,
         "{" META() ",'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':2,"
                    "'maxUnavailable':2}}}}",
         NULL},
        {"a struct that is gone", DEPLOY, REPLAY_CHANGE, false,
         "{" META() ",'spec':{'template':{'spec':{'securityContext':{'runAsUser':1}}}}}",
         "{" META() ",'spec':{'template':{'spec':{'securityContext':{'runAsUser':2}}}}}",
         "{" META() ",'spec':{'template':{'spec':{}}}}", REPLAY_NOTHING, NULL,
         ".spec.template.spec.securityContext: - < {'runAsUser':2}\n"},
        {"a new struct, empty and all", DEPLOY, REPLAY_CHANGE, false,
         "{" META() ",'spec':{'replicas':1,'template':{'spec':{}}}}",
         "{" META() ",'spec':{'replicas':1,'template':{'spec':{'securityContext':{}}}}}",
         "{" META() ",'spec':{'replicas':2,'template':{'spec':{}}}}", REPLAY_PUT,
         "{" META() ",'spec':{'replicas':2,'template':{'spec':{'securityContext':{}}}}}", NULL},
    };
    CHECK(rows);
}

static void test_status(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a status seen on both sides", DEPLOY, REPLAY_CHANGE, false, "{" META() ",'status':{'replicas':1}}",
         "{" META() ",'status':{'replicas':2,'readyReplicas':2}}", "{" META() ",'status':{'replicas':3}}",
         REPLAY_NOTHING, NULL, NULL},
        {"a status seen on one side", DEPLOY, REPLAY_CHANGE, false,
         "{" META() ",'spec':{'replicas':1},'status':{'replicas':1}}",
         "{" META() ",'spec':{'replicas':1},'status':{'replicas':2}}",
         "{" META() ",'spec':{'replicas':5},'status':{'replicas':1}}", REPLAY_PUT,
         "{" META() ",'spec':{'replicas':5},'status':{'replicas':2}}", NULL},
        {"a pod's status has several observers", POD, REPLAY_CHANGE, false,
         "{" META() ",'status':{'phase':'Pending','conditions':[]}}",
         "{" META() ",'status':{'phase':'Running','podIP':'10.0.0.1','conditions':[{'type':'Ready','status':"
                    "'True'}]}}",
         "{" META() ",'status':{'phase':'Failed','conditions':[{'type':'PodScheduled','status':'True'}]}}",
         REPLAY_PUT,
         "{" META() ",'status':{'phase':'Failed','conditions':[{'type':'Ready','status':'True'},{'type':"
                    "'PodScheduled','status':'True'}],'podIP':'10.0.0.1'}}",
         NULL},
    };
    CHECK(rows);
}

/* ---- rule 5: identity ---- */

static void test_create(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"nothing there", CM, REPLAY_CREATE, false, NULL, "{" META() ",'data':{'a':'1'}}", NULL, REPLAY_PUT,
         "{" META() ",'data':{'a':'1'}}", NULL},
        {"it is there already, changed since", CM, REPLAY_CREATE, false, NULL,
         "{" META() ",'data':{'a':'1'}}", "{" META() ",'data':{'a':'2'}}", REPLAY_NOTHING, NULL, NULL},
        {"another one has the name", CM, REPLAY_CREATE, false, NULL,
         "{'metadata':{'name':'x','uid':'u2'},'data':{'a':'1','b':'1'}}", "{" META() ",'data':{'a':'2'}}",
         REPLAY_PUT, "{" META() ",'data':{'a':'2','b':'1'}}", ".data.a: '2' < '1'\n"},
        {"the same twice", CM, REPLAY_CREATE, false, NULL,
         "{'metadata':{'name':'x','uid':'u2','creationTimestamp':'2'},'data':{'a':'1'}}",
         "{'metadata':{'name':'x','uid':'u1','creationTimestamp':'1'},'data':{'a':'1'}}", REPLAY_NOTHING,
         NULL, NULL},
        {"addresses that two servers gave", "/services", REPLAY_CREATE, false, NULL,
         "{'metadata':{'name':'x','uid':'u2'},'spec':{'clusterIP':'10.43.0.8','clusterIPs':['10.43.0.8'],"
         "'ports':[{'port':80,'protocol':'TCP','nodePort':30001}]}}",
         "{" META() ",'spec':{'clusterIP':'10.43.0.9','clusterIPs':['10.43.0.9'],"
                    "'ports':[{'port':80,'protocol':'TCP','nodePort':30002}]}}",
         REPLAY_NOTHING, NULL, NULL},
        {"a pod is not made of two", POD, REPLAY_CREATE, false, NULL,
         "{'metadata':{'name':'x','uid':'u2','labels':{'o':'1'}},'spec':{'nodeName':'n2','containers':"
         "[{'name':'c','image':'2','volumeMounts':[{'mountPath':'/var/run/secrets/kubernetes.io/"
         "serviceaccount','name':'kube-api-access-zzzzz'}]}],'volumes':[{'name':'kube-api-access-zzzzz'}],"
         "'hostNetwork':true},'status':{'phase':'Running'}}",
         "{" META() ",'spec':{'nodeName':'n1','containers':"
                    "[{'name':'c','image':'1','volumeMounts':[{'mountPath':'/var/run/secrets/kubernetes.io/"
                    "serviceaccount','name':'kube-api-access-aaaaa'}]}],'volumes':[{'name':"
                    "'kube-api-access-aaaaa'}]},'status':{}}",
         REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1','labels':{'o':'1'}},'spec':{'nodeName':'n1','containers':"
         "[{'name':'c','image':'1','volumeMounts':[{'mountPath':'/var/run/secrets/kubernetes.io/"
         "serviceaccount','name':'kube-api-access-aaaaa'}]}],'volumes':[{'name':"
         "'kube-api-access-aaaaa'}]},'status':{}}",
         ".spec.containers[name='c'].image: '1' < '2'\n.spec.hostNetwork: - < true\n"},
        {"nor a template of pods", DEPLOY, REPLAY_CREATE, false, NULL,
         "{'metadata':{'name':'x','uid':'u2'},'spec':{'paused':true,'template':{'spec':{'containers':[{'name'"
         ":"
         "'o','image':'1'}]}}}}",
         SPEC("{'name':'c','image':'2'}"), REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1'},'spec':{'template':{'spec':{'containers':[{'name':'c','image':"
         "'2'}]}},'paused':true}}",
         ".spec.template.spec.containers[name='o']: - < {'name':'o','image':'1'}\n"},
        {"an immutable field", DEPLOY, REPLAY_CREATE, false, NULL,
         "{'metadata':{'name':'x','uid':'u2'},'spec':{'selector':{'matchLabels':{'a':'1'}}}}",
         "{" META() ",'spec':{'selector':{'matchLabels':{'a':'2'}}}}", REPLAY_NOTHING, NULL,
         ".spec.selector: {'matchLabels':{'a':'2'}} < {'matchLabels':{'a':'1'}}\n"},
    };
    CHECK(rows);
}

static void test_deleted(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a change never resurrects", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1','b':'1'}}",
         "{" META() ",'data':{'a':'2','b':'1'}}", NULL, REPLAY_LOST, NULL, ".data.a: - < '2'\n"},
        {"nor of what was made anew", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1'}}",
         "{" META() ",'data':{'a':'2'}}", "{'metadata':{'name':'x','uid':'u9'},'data':{'a':'1'}}",
         REPLAY_LOST, NULL, ".data.a: '1' < '2'\n"},
        {"deep losses are told one by one", DEPLOY, REPLAY_CHANGE, false,
         SPEC("{'name':'a','image':'1'},{'name':'b','image':'1'}"),
         SPEC("{'name':'a','image':'2'},{'name':'b','image':'1'},{'name':'c'}"), NULL, REPLAY_LOST, NULL,
         ".spec.template.spec.containers[name='a'].image: - < '2'\n"
         ".spec.template.spec.containers[name='c']: - < {'name':'c'}\n"},
        {"deleted twice", CM, REPLAY_DELETE, false, "{" META() "}", NULL, NULL, REPLAY_NOTHING, NULL, NULL},
        {"a deletion wins over a change", CM, REPLAY_DELETE, false, "{" META() ",'data':{'a':'1'}}", NULL,
         "{" META() ",'data':{'a':'2'}}", REPLAY_REMOVE, NULL, NULL},
        {"and leaves another object of the name alone", CM, REPLAY_DELETE, false, "{" META() "}", NULL,
         "{'metadata':{'name':'x','uid':'u9'}}", REPLAY_NOTHING, NULL, NULL},
        {"unless it does not know what it deleted", CM, REPLAY_DELETE, false, NULL, NULL, "{" META() "}",
         REPLAY_LOST, NULL, NULL},
        {"a deletion that begins with a mark", CM, REPLAY_DELETE, false,
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a/x']}}",
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a/x'],'deletionTimestamp':'1'}}",
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a/x','b/x']}}", REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a/x','b/x'],'deletionTimestamp':'1'}}", NULL},
        {"marked on both sides", CM, REPLAY_DELETE, false,
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a/x']}}",
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a/x'],'deletionTimestamp':'1'}}",
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a/x'],'deletionTimestamp':'2'}}", REPLAY_NOTHING,
         NULL, NULL},
    };
    CHECK(rows);
}

/* ---- rule 6 ---- */

static void test_strict(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"the current object says what was named", CM, REPLAY_CHANGE, true,
         "{'metadata':{'name':'x','uid':'u1','resourceVersion':'1'},'data':{'a':'1'}}",
         "{" META() ",'data':{'a':'2'}}",
         "{'metadata':{'name':'x','uid':'u1','resourceVersion':'9'},'data':{'a':'1'}}", REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1','resourceVersion':'9'},'data':{'a':'2'}}", NULL},
        {"it says something else, elsewhere", CM, REPLAY_CHANGE, true, "{" META() ",'data':{'a':'1'}}",
         "{" META() ",'data':{'a':'2'}}", "{" META() ",'data':{'a':'1','b':'1'}}", REPLAY_LOST, NULL,
         ".data.a: '1' < '2'\n"},
        {"its base is lost", CM, REPLAY_CHANGE, true, NULL, "{" META() ",'data':{'a':'2'}}",
         "{" META() ",'data':{'a':'1'}}", REPLAY_LOST, NULL, ".data.a: '1' < '2'\n"},
        {"a deletion", CM, REPLAY_DELETE, true, "{" META() ",'data':{'a':'1'}}", NULL,
         "{" META() ",'data':{'a':'2'}}", REPLAY_LOST, NULL, NULL},
        {"a deletion of what was named", CM, REPLAY_DELETE, true, "{" META() ",'data':{'a':'1'}}", NULL,
         "{" META() ",'data':{'a':'1'}}", REPLAY_REMOVE, NULL, NULL},
    };
    CHECK(rows);
}

/* ---- what no schema knows ---- */

static void test_unknown(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"objects by member, lists as a whole", NULL, REPLAY_CHANGE, false,
         "{" META() ",'spec':{'a':{'x':1,'y':1},'l':[1]}}", "{" META() ",'spec':{'a':{'x':2,'y':1},'l':[1]}}",
         "{" META() ",'spec':{'a':{'x':1,'y':2},'l':[2]}}", REPLAY_PUT,
         "{" META() ",'spec':{'a':{'x':2,'y':2},'l':[2]}}", NULL},
        {"metadata as everywhere", NULL, REPLAY_CHANGE, false, "{" META() "}",
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a'],'resourceVersion':'2'}}",
         "{'metadata':{'name':'x','uid':'u1','finalizers':['b'],'resourceVersion':'3'}}", REPLAY_PUT,
         "{'metadata':{'name':'x','uid':'u1','finalizers':['a','b'],'resourceVersion':'3'}}", NULL},
        {"an unknown field of a known kind", CM, REPLAY_CHANGE, false, "{" META() ",'x':{'a':1,'l':[1]}}",
         "{" META() ",'x':{'a':2,'l':[2]}}", "{" META() ",'x':{'a':1,'l':[3]}}", REPLAY_PUT,
         "{" META() ",'x':{'a':2,'l':[3]}}", ".x.l: [3] < [2]\n"},
        {"another type", CM, REPLAY_CHANGE, false, "{" META() ",'data':{'a':'1'}}",
         "{" META() ",'data':{'a':'2'}}", "{" META() ",'data':'text'}", REPLAY_NOTHING, NULL,
         ".data: 'text' < {'a':'2'}\n"},
        {"a lost base", CM, REPLAY_CHANGE, false, NULL, "{" META() ",'data':{'a':'1','b':'1'}}",
         "{" META() ",'data':{'b':'2','c':'1'}}", REPLAY_PUT, "{" META() ",'data':{'b':'2','c':'1','a':'1'}}",
         ".data.b: '2' < '1'\n"},
    };
    CHECK(rows);
}

/* ---- managers ---- */

#define MANAGER(name, operation, fields)                                                           \
    "{'manager':'" name "','operation':'" operation "','apiVersion':'v1','time':'t','fieldsType':" \
    "'FieldsV1','fieldsV1':" fields "}"
#define OWNED(data, managers) \
    "{'metadata':{'name':'x','uid':'u1','managedFields':[" managers "]},'data':" data "}"

static void test_managers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"what came in belongs to its manager", CM, REPLAY_CHANGE, false,
         OWNED("{'a':'1','b':'1'}", MANAGER("base", "Update", "{'f:data':{'f:a':{},'f:b':{}}}")),
         OWNED("{'a':'2','b':'2'}", MANAGER("left", "Apply", "{'f:data':{'f:a':{},'f:b':{}}}")),
         OWNED("{'a':'1','b':'3'}", MANAGER("base", "Update", "{'f:data':{'f:a':{}}}") "," MANAGER(
                                        "right", "Update", "{'f:data':{'f:b':{}}}")),
         REPLAY_PUT,
         OWNED("{'a':'2','b':'3'}", MANAGER("left", "Apply", "{'f:data':{'f:a':{}}}") "," MANAGER(
                                        "right", "Update", "{'f:data':{'f:b':{}}}")),
         ".data.b: '3' < '2'\n"},
        {"what an applier gave up is given up", CM, REPLAY_CHANGE, false,
         OWNED("{'a':'1','b':'1'}", MANAGER("left", "Apply", "{'f:data':{'f:a':{},'f:b':{}}}")),
         OWNED("{'a':'1'}", MANAGER("left", "Apply", "{'f:data':{'f:a':{}}}")),
         OWNED("{'a':'1','b':'1','c':'1'}",
               MANAGER("left", "Apply", "{'f:data':{'f:a':{},'f:b':{}}}") "," MANAGER(
                   "right", "Update", "{'f:data':{'f:c':{}}}")),
         REPLAY_PUT,
         OWNED("{'a':'1','c':'1'}", MANAGER("left", "Apply", "{'f:data':{'f:a':{}}}") "," MANAGER(
                                        "right", "Update", "{'f:data':{'f:c':{}}}")),
         NULL},
    };
    CHECK(rows);
}

/* ---- beside the decision ---- */

static void test_base_of_an_intent(void **state)
{
    (void)state;
    json_auto_t *orphan = jq("{'a':{'x':2,'y':1,'new':1},'b':[2],'c':1}");
    json_auto_t *old = jq("{'a':{'x':1,'new':null},'b':[1,2],'gone':true}");
    json_auto_t *expected = jq("{'a':{'x':1,'y':1},'b':[1,2],'c':1,'gone':true}");
    json_auto_t *base = replay_base(orphan, old);
    assert_true(json_equal(base, expected));
}

static void test_losing_tells_all(void **state)
{
    (void)state;
    json_auto_t *base = jq("{" META() ",'data':{'a':'1','b':'1','c':'1'}}");
    json_auto_t *orphan = jq("{" META() ",'data':{'a':'2','b':'2','c':'1'}}");
    json_auto_t *current = jq("{" META() ",'data':{'a':'1','b':'2','c':'1'}}");
    struct replay_case c = {kind_of(CM), REPLAY_CHANGE, false, base, orphan, current};
    struct replay_decision decision;
    replay_lose(&decision, &c, "why");
    char *losses = losses_text(&decision);
    assert_int_equal(decision.outcome, REPLAY_LOST);
    assert_string_equal(decision.reason, "why");
    assert_string_equal(losses, ".data.a: '1' < '2'\n");
    free(losses);
    replay_decision_free(&decision);
}

static void test_losing_a_new_object(void **state)
{
    (void)state;
    json_auto_t *orphan = jq("{'metadata':{'name':'x','uid':'u','labels':{'l':'1'}},'spec':{'replicas':1}}");
    struct replay_case c = {kind_of(DEPLOY), REPLAY_CREATE, false, NULL, orphan, NULL};
    struct replay_decision decision;
    replay_lose(&decision, &c, NULL);
    char *losses = losses_text(&decision);
    assert_string_equal(losses, ".metadata.labels.l: - < '1'\n.spec: - < {'replicas':1}\n");
    free(losses);
    replay_decision_free(&decision);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_maps),
    cmocka_unit_test(test_metadata),
    cmocka_unit_test(test_lists),
    cmocka_unit_test(test_structs),
    cmocka_unit_test(test_status),
    cmocka_unit_test(test_create),
    cmocka_unit_test(test_deleted),
    cmocka_unit_test(test_strict),
    cmocka_unit_test(test_unknown),
    cmocka_unit_test(test_managers),
    cmocka_unit_test(test_base_of_an_intent),
    cmocka_unit_test(test_losing_tells_all),
    cmocka_unit_test(test_losing_a_new_object),
};

UNIT_MAIN(tests)
