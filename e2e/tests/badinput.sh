# Bad input gets Kubernetes' error and status, and the node stays up.
server=$("$KUBECTL" config view --minify -o 'jsonpath={.clusters[0].cluster.server}')
"$KUBECTL" config view --raw -o 'jsonpath={.users[0].user.client-certificate-data}' | base64 -d >cert.pem
"$KUBECTL" config view --raw -o 'jsonpath={.users[0].user.client-key-data}' | base64 -d >key.pem
call() { curl -ks --cert cert.pem --key key.pem -o out.json -w '%{http_code}' "$@"; }
base=$server/api/v1/namespaces/$NS
json='content-type: application/json'
check_equal "$(call -XPOST -H "$json" -d '{"kind":"ConfigMap",' "$base/configmaps")" 400
check_equal "$(jq -r .reason out.json)" BadRequest
check_equal "$(call -XPOST -H 'content-type: application/yaml' -d 'a: [' "$base/configmaps")" 400
check_equal "$(call -XPOST -H 'content-type: application/vnd.kubernetes.protobuf' -d 'k8s' "$base/configmaps")" 400
check_equal "$(call -XPOST -H 'content-type: text/plain' -d 'x' "$base/configmaps")" 415
head -c 10000000 /dev/zero | tr '\0' 'a' >big
check_equal "$(call -XPOST -H "$json" -H 'expect:' --data-binary @big "$base/configmaps")" 413
check_equal "$(call -XPOST -H "$json" -d '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"Bad_Name"}}' "$base/configmaps")" 422
check_contains "$(cat out.json)" "a lowercase RFC 1123 subdomain must consist of"
check_equal "$(call -XPOST -H "$json" -d '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}' "$base/configmaps")" 400
check_equal "$(call "$base/nothings")" 404
check_contains "$(cat out.json)" "the server could not find the requested resource"
check_equal "$(call -XPUT -H "$json" -d '{}' "$base/configmaps")" 405
check_equal "$(call "$base/configmaps?labelSelector=a%3D%3D%3Db")" 400
check_equal "$(call "$base/configmaps?limit=x")" 400
check_equal "$(call "$server/healthz")" 200
