# A client library that knows nothing of katena: JavaScript's @kubernetes/client-node.
cp "$TOOLS/client-node/package.json" . 2>/dev/null || true
ln -sfn "$TOOLS/client-node/node_modules" node_modules
cat >test.mjs <<'J'
import * as k8s from '@kubernetes/client-node';
const config = new k8s.KubeConfig();
config.loadFromDefault();
const namespace = process.argv[2];
const core = config.makeApiClient(k8s.CoreV1Api);
const seen = [];
const watch = new k8s.Watch(config);
const request = await watch.watch(`/api/v1/namespaces/${namespace}/configmaps`, {}, (type, object) => seen.push(`${type} ${object.metadata.name}`), () => {});
await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'js' }, data: { a: '1' } } });
const map = await core.readNamespacedConfigMap({ namespace, name: 'js' });
map.data.a = '2';
await core.replaceNamespacedConfigMap({ namespace, name: 'js', body: map });
try {
    await core.replaceNamespacedConfigMap({ namespace, name: 'js', body: map });
    throw new Error('a stale replace was accepted');
} catch (error) {
    if (error.code !== 409) throw error;
}
await core.deleteNamespacedConfigMap({ namespace, name: 'js' });
for (let i = 0; i < 50 && !seen.includes('DELETED js'); i++) await new Promise((done) => setTimeout(done, 100));
request.abort();
console.log(seen.filter((s) => s.endsWith(' js')).join(','));
process.exit(0);
J
check_equal "$(node test.mjs "$NS")" "ADDED js,MODIFIED js,DELETED js"
