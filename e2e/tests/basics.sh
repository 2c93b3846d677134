# get, create, label, annotate, patch, replace, delete; every output form of get.
k create configmap settings --from-literal=color=blue --from-literal=size=3
check_equal "$(k get configmap settings -o 'jsonpath={.data.color}')" blue
check_equal "$(k get configmap settings -o name)" configmap/settings
check_contains "$(k get configmap settings -o yaml)" "color: blue"
check_contains "$(k get configmap settings -o json)" '"size": "3"'
table=$(k get configmaps)
check_contains "$table" "NAME"
check_contains "$table" "DATA"
check_contains "$table" "settings"
check_fails 'configmaps "settings" already exists' k create configmap settings
check_fails 'configmaps "absent" not found' k get configmap absent

k label configmap settings tier=front
check_equal "$(k get configmaps -l tier=front -o name)" configmap/settings
check_equal "$(k get configmaps -l 'tier in (front,back)' -o name)" configmap/settings
check_equal "$(k get configmaps -l '!tier' -o name | grep -c settings || true)" 0
check_equal "$(k get configmaps --field-selector metadata.name=settings -o name)" configmap/settings
k annotate configmap settings note='a b c'
check_equal "$(k get configmap settings -o 'jsonpath={.metadata.annotations.note}')" "a b c"

k patch configmap settings --type merge -p '{"data":{"color":"red"}}'
check_equal "$(k get configmap settings -o 'jsonpath={.data.color}')" red
k patch configmap settings --type json -p '[{"op":"remove","path":"/data/size"}]'
check_equal "$(k get configmap settings -o 'jsonpath={.data.size}')" ""
k patch configmap settings -p '{"data":{"shape":"round"}}'
check_equal "$(k get configmap settings -o 'jsonpath={.data.shape}')" round

k get configmap settings -o yaml | sed 's/shape: round/shape: square/' | k replace -f -
check_equal "$(k get configmap settings -o 'jsonpath={.data.shape}')" square
k get configmap settings -o yaml | sed 's/resourceVersion: .*/resourceVersion: "1000000000000000000"/' >stale.yaml
check_fails "the object has been modified" k replace -f stale.yaml

check_contains "$(k get configmaps -A)" "$NS"
check_equal "$(k create configmap dry --dry-run=server -o name)" configmap/dry
check_fails 'not found' k get configmap dry
k delete configmap settings
check_fails 'not found' k get configmap settings
