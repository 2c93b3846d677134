/* Validation: each case is a manifest, as a client sends it, and the message that Kubernetes answers. */
#include "unit.h"

#include "object/decode.h"
#include "object/registry.h"
#include "object/semantics.h"

/* Cases are written with single quotes in place of double ones. */
static json_t *parsed(const char *text)
{
    char *copy = strdup(text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_error_t error;
    json_t *value = json_loads(copy, 0, &error);
    if (!value)
        fail_msg("not JSON: %s in %s", error.text, copy);
    free(copy);
    return value;
}

static const struct schema_kind *kind_named(const char *name)
{
    for (size_t i = 0; i < registry_count(); i++)
        if (!strcmp(registry_at(i)->kind, name))
            return registry_at(i);
    fail_msg("no kind %s", name);
    return NULL;
}

static json_t *object_of(const struct schema_kind *kind, const char *text)
{
    json_t *sent = parsed(text);
    json_t *object = NULL;
    struct err err = {0};
    if (decode_json(kind->message, sent, &object, NULL, &err))
        fail_msg("%s: %s", text, err.message);
    json_decref(sent);
    defaults_apply(kind, object);
    return object;
}

struct invalid {
    const char *kind;
    const char *object;
    const char *old;     /* NULL: create */
    const char *message; /* behind `Kind.group "x" is invalid: `; "" when it is valid */
};

static void check(const struct invalid *c)
{
    const struct schema_kind *kind = kind_named(c->kind);
    json_t *object = object_of(kind, c->object);
    json_t *old = c->old ? object_of(kind, c->old) : NULL;
    struct field_errors errors = {0};
    validate_object(kind, object, old, &errors);
    char *message = field_errors_message(&errors, kind, "x");
    const char *marker = strstr(message, "is invalid");
    const char *found = marker[10] ? marker + 12 : "";
    if (strcmp(found, c->message))
        fail_msg("%s\n want %s\n got  %s", c->object, c->message, found);
    free(message);
    field_errors_free(&errors);
    json_decref(object);
    json_decref(old);
}

static void check_all(const struct invalid *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(&cases[i]);
}
#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof((cases)[0]))

#define META "'metadata':{'name':'x','namespace':'default'}"
#define CLUSTER_META "'metadata':{'name':'x'}"
#define LABEL_TEXT                                                                                          \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start " \
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "  \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define SUBDOMAIN_TEXT                                                                                     \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "  \
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is " \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

static void test_validate_metadata(void **state)
{
    (void)state;
    static const struct invalid cases[] = {
        {"ConfigMap", "{" META "}", NULL, ""},
        {"ConfigMap", "{'metadata':{'namespace':'default'}}", NULL,
         "metadata.name: Required value: name or generateName is required"},
        {"ConfigMap", "{'metadata':{'name':'X','namespace':'default'}}", NULL,
         "metadata.name: Invalid value: \"X\": " SUBDOMAIN_TEXT},
        {"ConfigMap", "{'metadata':{'name':'a','namespace':'A'}}", NULL,
         "metadata.namespace: Invalid value: \"A\": " LABEL_TEXT},
        {"ConfigMap", "{'metadata':{'name':'a'}}", NULL, "metadata.namespace: Required value"},
        {"Namespace", "{'metadata':{'name':'a.b'}}", NULL,
         "metadata.name: Invalid value: \"a.b\": must not contain dots"},
        {"Namespace", "{'metadata':{'name':'a','namespace':'b'}}", NULL,
         "metadata.namespace: Forbidden: not allowed on this type"},
        {"Service", "{'metadata':{'name':'1a','namespace':'default'},'spec':{'ports':[{'port':80}]}}", NULL,
         "metadata.name: Invalid value: \"1a\": a DNS-1035 label must consist of lower case alphanumeric "
         "characters or "
         "'-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  "
         "or "
         "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"},
        {"ClusterRole", "{'metadata':{'name':'system:a/b'}}", NULL,
         "metadata.name: Invalid value: \"system:a/b\": may not contain '/'"},
        {"ClusterRole", "{'metadata':{'name':'system:a'}}", NULL, ""},
        {"ConfigMap", "{'metadata':{'name':'a','generateName':'a-','namespace':'default'}}", NULL, ""},
        {"ConfigMap", "{'metadata':{'name':'a','namespace':'default','labels':{'a':'-b'}}}", NULL,
         "metadata.labels: Invalid value: \"-b\": a valid label must be an empty string or consist of "
         "alphanumeric "
         "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
         "'MyValue',  or "
         "'my_value',  or '12345', regex used for validation is "
         "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"},
        {"ConfigMap", "{'metadata':{'name':'a','namespace':'default','annotations':{'A/b':'c'}}}", NULL, ""},
        {"ConfigMap", "{'metadata':{'name':'a','namespace':'default','annotations':{'/b':'c'}}}", NULL,
         "metadata.annotations: Invalid value: \"/b\": prefix part must be non-empty"},
        {"ConfigMap", "{'metadata':{'name':'a','namespace':'default','finalizers':['foo']}}", NULL,
         "metadata.finalizers[0]: Invalid value: \"foo\": name is neither a standard finalizer name nor is "
         "it fully "
         "qualified"},
        {"ConfigMap",
         "{'metadata':{'name':'a','namespace':'default','ownerReferences':[{'apiVersion':'v1','kind':'Pod','"
         "name':'p'}]}}",
         NULL, "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"},
        {"ConfigMap",
         "{'metadata':{'name':'a','namespace':'default','deletionTimestamp':'2026-01-01T00:00:00Z','"
         "finalizers':['a/b']}}",
         "{'metadata':{'name':'a','namespace':'default','deletionTimestamp':'2026-01-01T00:00:00Z'}}",
         "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
         "found new "
         "finalizers []string{\"a/b\"}"},
        {"ConfigMap", "{'metadata':{'name':'b','namespace':'default'}}",
         "{'metadata':{'name':'a','namespace':'default'}}",
         "metadata.name: Invalid value: \"b\": field is immutable"},
    };
    CHECK_ALL(cases);
}

#define POD(spec) "{" META ",'spec':{" spec "}}"
#define ONE(more) POD("'containers':[{'name':'a','image':'b'" more "}]")

static void test_validate_pods(void **state)
{
    (void)state;
    static const struct invalid cases[] = {
        {"Pod", ONE(""), NULL, ""},
        {"Pod", POD("'containers':[]"), NULL, "spec.containers: Required value"},
        {"Pod", POD("'containers':[{'name':'A','image':''}]"), NULL,
         "[spec.containers[0].name: Invalid value: \"A\": " LABEL_TEXT
         ", spec.containers[0].image: Required value]"},
        {"Pod", POD("'containers':[{'name':'a','image':'b'},{'name':'a','image':'b'}]"), NULL,
         "spec.containers[1].name: Duplicate value: \"a\""},
        {"Pod", POD("'containers':[{'name':'a','image':'b'}],'initContainers':[{'name':'a','image':'b'}]"),
         NULL, "spec.initContainers[0].name: Duplicate value: \"a\""},
        {"Pod", ONE(",'ports':[{'containerPort':70000,'protocol':'X'},{}]"), NULL,
         "[spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, "
         "inclusive, "
         "spec.containers[0].ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", "
         "\"TCP\", \"UDP\", "
         "spec.containers[0].ports[1].containerPort: Required value]"},
        {"Pod", ONE(",'ports':[{'containerPort':80,'hostPort':80},{'containerPort':81,'hostPort':80}]"), NULL,
         "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""},
        {"Pod", ONE(",'env':[{'name':'a=b'},{'name':''}]"), NULL,
         "[spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must "
         "consist only of "
         "printable ASCII characters other than '=', spec.containers[0].env[1].name: Required value]"},
        {"Pod", ONE(",'env':[{'name':'a','valueFrom':{'fieldRef':{'fieldPath':'spec.x'}}}]"), NULL,
         "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"spec.x\": supported "
         "values: "
         "\"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", "
         "\"spec.serviceAccountName\", "
         "\"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\""},
        {"Pod",
         ONE(",'env':[{'name':'a','valueFrom':{'fieldRef':{'fieldPath':'metadata.labels[\\u0027app\\u0027]'}}"
             "}]"),
         NULL, ""},
        {"Pod", ONE(",'volumeMounts':[{'name':'v','mountPath':'/a'}]"), NULL,
         "spec.containers[0].volumeMounts[0].name: Not found: \"v\""},
        {"Pod",
         POD("'volumes':[{'name':'v'}],'containers':[{'name':'a','image':'b','volumeMounts':[{'name':'v','"
             "mountPath':'/a'},"
             "{'name':'v','mountPath':'/a','subPath':'../x'}]}]"),
         NULL,
         "[spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique, "
         "spec.containers[0].volumeMounts.subPath: Invalid value: \"../x\": must not contain '..']"},
        {"Pod",
         POD("'volumes':[{'name':'v','emptyDir':{},'hostPath':{'path':'/"
             "x'}}],'containers':[{'name':'a','image':'b'}]"),
         NULL, "spec.volumes[0].emptyDir: Forbidden: may not specify more than 1 volume type"},
        {"Pod",
         POD("'volumes':[{'name':'v','hostPath':{'path':''}},{'name':'v','secret':{}}],'containers':[{'name':"
             "'a','image':'b'}]"),
         NULL,
         "[spec.volumes[0].hostPath.path: Required value, spec.volumes[1].secret.secretName: Required value, "
         "spec.volumes[1].name: Duplicate value: \"v\"]"},
        {"Pod",
         ONE(",'livenessProbe':{'httpGet':{'port':'b a d'},'exec':{'command':['x']},'successThreshold':2}"),
         NULL,
         "[spec.containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type, "
         "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1]"},
        {"Pod", ONE(",'readinessProbe':{'periodSeconds':-1}"), NULL,
         "[spec.containers[0].readinessProbe: Required value: must specify a handler type, "
         "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal "
         "to 0]"},
    };
    CHECK_ALL(cases);
}

static void test_validate_pod_choices(void **state)
{
    (void)state;
    static const struct invalid cases[] = {
        {"Pod", ONE(",'resources':{'requests':{'cpu':'2'},'limits':{'cpu':'1'}}"), NULL,
         "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu "
         "limit of 1"},
        {"Pod", ONE(",'resources':{'limits':{'gpu':'1','memory':'-1'}}"), NULL,
         "[spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource "
         "type or fully "
         "qualified, spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard "
         "resource for "
         "containers, spec.containers[0].resources.limits[memory]: Invalid value: \"-1\": must be greater "
         "than or equal "
         "to 0, spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard "
         "resource type or "
         "fully qualified, spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a "
         "standard "
         "resource for containers, spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": "
         "must be greater "
         "than or equal to 0]"},
        {"Pod", ONE(",'imagePullPolicy':'Sometimes'"), NULL,
         "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: "
         "\"Always\", "
         "\"IfNotPresent\", \"Never\""},
        {"Pod", POD("'preemptionPolicy':'Odd','containers':[{'name':'a','image':'b'}]"), NULL,
         "spec.preemptionPolicy: Unsupported value: \"Odd\": supported values: \"PreemptLowerPriority\", "
         "\"Never\""},
        {"Pod", POD("'restartPolicy':'Maybe','containers':[{'name':'a','image':'b'}]"), NULL,
         "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"OnFailure\", "
         "\"Never\""},
        {"Pod",
         POD("'tolerations':[{'operator':'Equal','value':'x'}],'containers':[{'name':'a','image':'b'}]"),
         NULL,
         "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is "
         "empty, which "
         "means \"match all values and all keys\""},
        {"Pod",
         POD("'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{'"
             "nodeSelectorTerms':[]}}},"
             "'containers':[{'name':'a','image':'b'}]"),
         NULL,
         "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: "
         "Required value: "
         "must have at least one node selector term"},
        {"Pod",
         POD("'hostNetwork':true,'containers':[{'name':'a','image':'b','ports':[{'containerPort':80,'"
             "hostPort':81}]}]"),
         NULL,
         "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when "
         "`hostNetwork` is true"},
        {"Pod", POD("'containers':[{'name':'a','image':' b'}]"), NULL,
         "spec.containers[0].image: Invalid value: \" b\": must not have leading or trailing whitespace"},
        {"Pod",
         POD("'containers':[{'name':'a','image':'b'}],'initContainers':[{'name':'i','image':'b','"
             "livenessProbe':{'exec':{'command':['x']}}}]"),
         NULL,
         "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without "
         "restartPolicy=Always"},
    };
    CHECK_ALL(cases);
}

static void test_validate_pod_updates(void **state)
{
    (void)state;
    static const struct invalid cases[] = {
        {"Pod", ONE(""), ONE(""), ""},
        {"Pod", POD("'containers':[{'name':'a','image':'c'}]"), ONE(""), ""},
        {"Pod", POD("'tolerations':[{'operator':'Exists'}],'containers':[{'name':'a','image':'b'}]"), ONE(""),
         ""},
        {"Pod", POD("'containers':[{'name':'a','image':'b'},{'name':'c','image':'b'}]"), ONE(""),
         "spec.containers: Forbidden: pod updates may not add or remove containers"},
        {"Pod", ONE(""), POD("'tolerations':[{'operator':'Exists'}],'containers':[{'name':'a','image':'b'}]"),
         "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"},
        {"Pod", POD("'nodeName':'n','containers':[{'name':'a','image':'b'}]"), ONE(""),
         "spec: Forbidden: pod updates may not change fields other than "
         "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec."
         "tolerations` "
         "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
         "to 1 if it "
         "was previously negative)\n+ nodeName: \"n\"\n"},
        {"Pod", POD("'activeDeadlineSeconds':20,'containers':[{'name':'a','image':'b'}]"),
         POD("'activeDeadlineSeconds':10,'containers':[{'name':'a','image':'b'}]"),
         "spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"},
    };
    CHECK_ALL(cases);
}

#define DEPLOY(more)                                                                                     \
    "{" META                                                                                             \
    ",'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{" \
    "'containers':[{'name':'a','image':'b'}]}}" more "}}"

static void test_validate_workloads(void **state)
{
    (void)state;
    static const struct invalid cases[] = {
        {"Deployment", DEPLOY(""), NULL, ""},
        {"Deployment", DEPLOY(",'replicas':-1"), NULL,
         "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
        {"Deployment", "{" META ",'spec':{'template':{'spec':{'containers':[{'name':'a','image':'b'}]}}}}",
         NULL,
         "[spec.selector: Required value, spec.template.metadata.labels: Invalid value: null: `selector` "
         "does not match "
         "template `labels`]"},
        {"Deployment",
         "{" META
         ",'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'c'}},'spec':{"
         "'containers':[{'name':'a','image':'b'}]}}}}",
         NULL,
         "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template "
         "`labels`"},
        {"Deployment",
         "{" META
         ",'spec':{'selector':{'matchLabels':{'a':'c'}},'template':{'metadata':{'labels':{'a':'c'}},'spec':{"
         "'containers':[{'name':'a','image':'b'}]}}}}",
         DEPLOY(""), "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable"},
        {"Deployment", DEPLOY(",'strategy':{'type':'Recreate','rollingUpdate':{}}"), NULL,
         "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"},
        {"Deployment", DEPLOY(",'strategy':{'rollingUpdate':{'maxSurge':0,'maxUnavailable':0}}"), NULL,
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"},
        {"Deployment", DEPLOY(",'strategy':{'rollingUpdate':{'maxSurge':'x','maxUnavailable':'101%'}}"), NULL,
         "[spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": a valid percent string must be a "
         "numeric string "
         "followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%'), "
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than "
         "100%]"},
        {"Deployment", DEPLOY(",'minReadySeconds':600"), NULL,
         "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"},
        {"ReplicaSet",
         "{" META
         ",'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{"
         "'restartPolicy':'Never','containers':[{'name':'a','image':'b'}]}}}}",
         NULL,
         "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""},
        {"ControllerRevision", "{" META ",'revision':-1,'data':{}}", NULL,
         "revision: Invalid value: -1: must be greater than or equal to 0"},
        {"ControllerRevision", "{" META ",'revision':1,'data':{'a':1}}",
         "{" META ",'revision':1,'data':{'a':2}}", "data: Invalid value: {\"a\":1}: field is immutable"},
    };
    CHECK_ALL(cases);
}

static void test_validate_services(void **state)
{
    (void)state;
#define SVC(spec) "{" META ",'spec':{" spec "}}"
    static const struct invalid cases[] = {
        {"Service", SVC("'ports':[{'port':80}]"), NULL, ""},
        {"Service", SVC(""), NULL, "spec.ports: Required value"},
        {"Service", SVC("'clusterIP':'None'"), NULL, ""},
        {"Service", SVC("'ports':[{'port':80},{'port':81}]"), NULL,
         "[spec.ports[0].name: Required value, spec.ports[1].name: Required value]"},
        {"Service", SVC("'ports':[{'name':'a','port':80},{'name':'a','port':80}]"), NULL,
         "[spec.ports[1].name: Duplicate value: \"a\", spec.ports[1]: Duplicate value: "
         "{\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":"
         "0}]"},
        {"Service", SVC("'ports':[{'port':0}]"), NULL,
         "[spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, "
         "spec.ports[0].targetPort: "
         "Invalid value: 0: must be between 1 and 65535, inclusive]"},
        {"Service", SVC("'type':'Odd','ports':[{'port':80}]"), NULL,
         "[spec.type: Unsupported value: \"Odd\": supported values: \"ClusterIP\", \"ExternalName\", "
         "\"LoadBalancer\", "
         "\"NodePort\", spec.internalTrafficPolicy: Required value]"},
        {"Service", SVC("'ports':[{'port':80,'nodePort':30000}]"), NULL,
         "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"},
        {"Service", SVC("'type':'ExternalName'"), NULL, "spec.externalName: Required value"},
        {"Service", SVC("'type':'ExternalName','externalName':'example.org.'"), NULL, ""},
        {"Service", SVC("'sessionAffinity':'Odd','ports':[{'port':80}]"), NULL,
         "spec.sessionAffinity: Unsupported value: \"Odd\": supported values: \"ClientIP\", \"None\""},
        {"Service", SVC("'clusterIP':'10.96.0.9','clusterIPs':['10.96.0.9'],'ports':[{'port':80}]"),
         SVC("'clusterIP':'10.96.0.8','clusterIPs':['10.96.0.8'],'ports':[{'port':80}]"),
         "spec.clusterIPs[0]: Invalid value: [\"10.96.0.9\"]: may not change once set"},
        {"Service", SVC("'clusterIP':'10.96.0.9','clusterIPs':['10.96.0.8'],'ports':[{'port':80}]"),
         SVC("'clusterIP':'10.96.0.8','clusterIPs':['10.96.0.8'],'ports':[{'port':80}]"),
         "spec.clusterIPs[0]: Invalid value: [\"10.96.0.9\"]: may not change once set"},
        {"Service", SVC("'externalIPs':['127.0.0.1','x'],'ports':[{'port':80}]"), NULL,
         "[spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, "
         "::1/128), "
         "spec.externalIPs[1]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or "
         "2001:db8::ffff)]"},
        {"Endpoints",
         "{" META ",'subsets':[{'addresses':[{'ip':'10.0.0.1'}],'ports':[{'port':80},{'port':81}]}]}", NULL,
         "[subsets[0].ports[0].name: Required value, subsets[0].ports[1].name: Required value]"},
        {"Endpoints", "{" META ",'subsets':[{'ports':[{'port':80}]}]}", NULL,
         "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"},
        {"EndpointSlice",
         "{" META ",'addressType':'IPv4','endpoints':[{'addresses':['10.0.0.1']}],'ports':[{'port':80}]}",
         NULL, ""},
        {"EndpointSlice", "{" META ",'addressType':'IPv4','endpoints':[{'addresses':['fd00::1']},{}]}", NULL,
         "[endpoints[0].addresses: Invalid value: \"fd00::1\": must be an IPv4 address, "
         "endpoints[1].addresses: Required "
         "value: must contain at least 1 address]"},
    };
    CHECK_ALL(cases);
}

static void test_validate_config(void **state)
{
    (void)state;
    static const struct invalid cases[] = {
        {"ConfigMap", "{" META ",'data':{'a b':'1'}}", NULL,
         "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, "
         "'-', '_' or '.' "
         "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"},
        {"ConfigMap", "{" META ",'data':{'..':'1'}}", NULL,
         "data[..]: Invalid value: \"..\": must not be '..'"},
        {"ConfigMap", "{" META ",'data':{'a':'1'},'binaryData':{'a':'MQ=='}}", NULL,
         "data[a]: Invalid value: \"a\": duplicate of key present in binaryData"},
        {"ConfigMap", "{" META ",'immutable':true,'data':{'a':'2'}}",
         "{" META ",'immutable':true,'data':{'a':'1'}}",
         "data: Forbidden: field is immutable when `immutable` is set"},
        {"ConfigMap", "{" META ",'data':{'a':'1'}}", "{" META ",'immutable':true,'data':{'a':'1'}}",
         "immutable: Forbidden: field is immutable when `immutable` is set"},
        {"Secret", "{" META ",'type':'kubernetes.io/tls','data':{'tls.crt':'MQ=='}}", NULL,
         "data[tls.key]: Required value"},
        {"Secret", "{" META ",'type':'kubernetes.io/basic-auth'}", NULL,
         "[data[username]: Required value, data[password]: Required value]"},
        {"Secret", "{" META ",'type':'kubernetes.io/dockerconfigjson','data':{'.dockerconfigjson':'e30='}}",
         NULL, ""},
        {"Secret", "{" META ",'type':'kubernetes.io/dockerconfigjson'}", NULL,
         "data[.dockerconfigjson]: Required value"},
        {"Secret", "{" META ",'type':'kubernetes.io/service-account-token'}", NULL,
         "metadata.annotations[kubernetes.io/service-account.name]: Required value"},
        {"Secret", "{" META ",'type':'b'}", "{" META ",'type':'a'}",
         "type: Invalid value: \"b\": field is immutable"},
        {"Node", "{" CLUSTER_META ",'spec':{'taints':[{'key':'a','effect':'Odd'}]}}", NULL,
         "metadata.taints[0].effect: Unsupported value: \"Odd\": supported values: \"NoSchedule\", "
         "\"PreferNoSchedule\", "
         "\"NoExecute\""},
        {"Node",
         "{" CLUSTER_META ",'spec':{'taints':[{'key':'a','effect':'NoExecute'},{'key':'a','value':'v','"
         "effect':'NoExecute'}]}}",
         NULL,
         "metadata.taints[1]: Duplicate value: "
         "{\"Key\":\"a\",\"Value\":\"v\",\"Effect\":\"NoExecute\",\"TimeAdded\":null}: "
         "taints must be unique by key and effect pair"},
        {"Lease", "{" META ",'spec':{'leaseDurationSeconds':0}}", NULL,
         "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"},
        {"Event", "{" META ",'involvedObject':{'namespace':'other'}}", NULL,
         "involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"},
        {"Event", "{" META ",'involvedObject':{'namespace':'default'}}", NULL, ""},
        {"Namespace", "{" CLUSTER_META ",'spec':{'finalizers':['foo']}}", NULL,
         "spec.finalizers: Invalid value: \"foo\": name is neither a standard finalizer name nor is it fully "
         "qualified"},
    };
    CHECK_ALL(cases);
}

static void test_validate_rbac(void **state)
{
    (void)state;
    static const struct invalid cases[] = {
        {"Role", "{" META ",'rules':[{'verbs':['get'],'apiGroups':[''],'resources':['pods']}]}", NULL, ""},
        {"Role", "{" META ",'rules':[{}]}", NULL,
         "[rules[0].verbs: Required value: verbs must contain at least one value, rules[0].apiGroups: "
         "Required value: "
         "resource rules must supply at least one api group, rules[0].resources: Required value: resource "
         "rules must "
         "supply at least one resource]"},
        {"Role", "{" META ",'rules':[{'verbs':['get'],'nonResourceURLs':['/x']}]}", NULL,
         "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource "
         "URLs"},
        {"ClusterRole", "{" CLUSTER_META ",'aggregationRule':{}}", NULL,
         "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
         "aggregationRule is non-nil"},
        {"RoleBinding",
         "{" META ",'roleRef':{'kind':'Odd','name':''},'subjects':[{'kind':'User','name':''}]}", NULL,
         "[roleRef.kind: Unsupported value: \"Odd\": supported values: \"Role\", \"ClusterRole\", "
         "roleRef.name: Required "
         "value, subjects[0].name: Required value]"},
        {"RoleBinding", "{" META ",'roleRef':{'kind':'Role','name':'b'}}",
         "{" META ",'roleRef':{'kind':'Role','name':'a'}}",
         "roleRef: Invalid value: "
         "{\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"Role\",\"Name\":\"b\"}: cannot "
         "change roleRef"},
        {"ClusterRoleBinding",
         "{" CLUSTER_META
         ",'roleRef':{'kind':'ClusterRole','name':'a'},'subjects':[{'kind':'ServiceAccount','name':'s'},"
         "{'kind':'Odd','name':'s'}]}",
         NULL,
         "[subjects[0].namespace: Required value, subjects[1].kind: Unsupported value: \"Odd\": supported "
         "values: "
         "\"ServiceAccount\", \"User\", \"Group\"]"},
    };
    CHECK_ALL(cases);
}

static void test_validate_subresources(void **state)
{
    (void)state;
    const struct schema_kind *kind = kind_named("Deployment");
    json_t *scale = parsed("{'spec':{'replicas':-1}}");
    struct field_errors errors = {0};
    validate_subresource(kind, "scale", scale, scale, &errors);
    assert_int_equal(errors.count, 1);
    assert_string_equal(errors.items[0].field, "spec.replicas");
    assert_string_equal(errors.items[0].message, "Invalid value: -1: must be greater than or equal to 0");
    assert_string_equal(errors.items[0].reason, "FieldValueInvalid");
    field_errors_free(&errors);
    json_decref(scale);

    json_t *old = object_of(kind, DEPLOY(""));
    json_t *status = object_of(kind, DEPLOY(""));
    json_object_set_new(status, "status", parsed("{'replicas':1,'readyReplicas':2,'availableReplicas':2}"));
    validate_subresource(kind, "status", status, old, &errors);
    char *message = field_errors_message(&errors, kind, "x");
    assert_string_equal(
        message, "Deployment.apps \"x\" is invalid: [status.readyReplicas: Invalid value: 2: cannot be "
                 "greater than status.replicas, status.availableReplicas: Invalid value: 2: cannot be "
                 "greater than status.replicas]");
    free(message);
    field_errors_free(&errors);
    json_decref(status);
    json_decref(old);

    json_t *binding = parsed("{'target':{'kind':'Pod'}}");
    validate_subresource(kind_named("Pod"), "binding", binding, NULL, &errors);
    assert_int_equal(errors.count, 2);
    assert_string_equal(errors.items[1].field, "target.name");
    field_errors_free(&errors);
    json_decref(binding);
}

static void test_validate_sizes(void **state)
{
    (void)state;
    const struct schema_kind *kind = kind_named("ConfigMap");
    json_t *object = object_of(kind, "{" META "}");
    char *big = malloc((1 << 20) + 2);
    memset(big, 'a', (1 << 20) + 1);
    big[(1 << 20) + 1] = '\0';
    json_object_set_new(object, "data", json_pack("{s:s}", "a", big));
    struct field_errors errors = {0};
    validate_object(kind, object, NULL, &errors);
    char *message = field_errors_message(&errors, kind, "x");
    assert_string_equal(message,
                        "ConfigMap \"x\" is invalid: []: Too long: may not be more than 1048576 bytes");
    free(message);
    free(big);
    field_errors_free(&errors);
    json_decref(object);
}

/* What no rule is written for, the schema checks. */
static void test_validate_by_schema(void **state)
{
    (void)state;
    static const struct invalid cases[] = {
        {"Pod",
         POD("'securityContext':{'seccompProfile':{'type':'Odd'}},'containers':[{'name':'a','image':'b'}]"),
         NULL,
         "spec.securityContext.seccompProfile.type: Unsupported value: \"Odd\": supported values: "
         "\"Localhost\", "
         "\"RuntimeDefault\", \"Unconfined\""},
    };
    CHECK_ALL(cases);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_validate_metadata),     cmocka_unit_test(test_validate_pods),
    cmocka_unit_test(test_validate_pod_choices),  cmocka_unit_test(test_validate_pod_updates),
    cmocka_unit_test(test_validate_workloads),    cmocka_unit_test(test_validate_services),
    cmocka_unit_test(test_validate_config),       cmocka_unit_test(test_validate_rbac),
    cmocka_unit_test(test_validate_subresources), cmocka_unit_test(test_validate_sizes),
    cmocka_unit_test(test_validate_by_schema),
};

UNIT_MAIN(tests)
