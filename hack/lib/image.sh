# Small container images out of Debian packages, for samples and tests: no registry is needed.

# image_pack TAR NAME:TAG ROOTFS COMMAND...: packs a root file system as an archive that
# `ctr images import` reads (the format of `docker save`).
image_pack() {
    local tar=$1 name=$2 rootfs=$3 work layer_sum config_sum
    shift 3
    work=$(mktemp -d)
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$rootfs" -cf "$work/layer.tar" .
    layer_sum=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
    python3 - "$layer_sum" "$@" >"$work/config.json" <<'PY'
import json, platform, sys
machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
print(json.dumps({
    "architecture": machine, "os": "linux",
    "config": {"Cmd": sys.argv[2:], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sys.argv[1]]},
    "history": [{"created_by": "katena"}]}))
PY
    config_sum=$(sha256sum "$work/config.json" | cut -d' ' -f1)
    mv "$work/config.json" "$work/$config_sum.json"
    printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$config_sum" "$name" >"$work/manifest.json"
    tar -C "$work" -cf "$tar" manifest.json "$config_sum.json" layer.tar
    rm -rf "$work"
}

# image_rootfs_busybox DIR: a root file system with busybox and its applets.
image_rootfs_busybox() {
    local dir=$1 applet unpacked
    unpacked=$(mktemp -d)
    unpack_package "$unpacked" busybox-static
    mkdir -p "$dir"/{bin,etc,tmp,var,root,proc,sys,dev,www}
    cp "$unpacked/bin/busybox" "$dir/bin/busybox" 2>/dev/null || cp "$unpacked/usr/bin/busybox" "$dir/bin/busybox"
    for applet in $("$dir/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -sf busybox "$dir/bin/$applet"
    done
    chmod 1777 "$dir/tmp"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$dir/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$dir/etc/group"
    rm -rf "$unpacked"
}

# image_rootfs_nginx DIR: nginx with the libraries that it needs, serving /usr/share/nginx/html on port 80.
image_rootfs_nginx() {
    local dir=$1
    image_rootfs_busybox "$dir"
    local unpacked
    unpacked=$(mktemp -d)
    unpack_package "$unpacked" nginx nginx-common libc6 libcrypt1 libpcre2-8-0 libssl3 zlib1g
    mkdir -p "$dir"/{usr/sbin,lib64,usr/share/nginx/html,var/log/nginx,var/lib/nginx,run,etc/nginx}
    cp "$unpacked/usr/sbin/nginx" "$dir/usr/sbin/"
    cp "$unpacked/etc/nginx/mime.types" "$dir/etc/nginx/"
    local library
    for library in $(cd "$unpacked" && find . \( -name '*.so*' -o -name 'ld-linux*' \) -not -path '*gconv*' -not -path '*engines*' -not -path '*modules*'); do
        mkdir -p "$dir/$(dirname "$library")"
        cp -a "$unpacked/$library" "$dir/$library"
    done
    printf 'daemon off;\nuser root;\nerror_log /dev/stderr;\npid /run/nginx.pid;\nevents {}\nhttp {\n  include mime.types;\n  access_log /dev/stdout;\n  server { listen 80; root /usr/share/nginx/html; }\n}\n' >"$dir/etc/nginx/nginx.conf"
    printf '<!doctype html>\n<title>katena</title>\n<h1>Hello from a pod on a blockchain.</h1>\n' >"$dir/usr/share/nginx/html/index.html"
    rm -rf "$unpacked"
}

# image_build DIR: the sample images as DIR/NAME.tar, made once.
image_build() {
    local dir=$1 rootfs kind
    mkdir -p "$dir"
    for kind in busybox nginx; do
        [ ! -e "$dir/$kind.tar" ] || continue
        step "building the image katena.local/$kind:1 from Debian packages"
        rootfs=$(mktemp -d)
        "image_rootfs_$kind" "$rootfs"
        case $kind in
        busybox) image_pack "$dir/$kind.tar.new" "katena.local/$kind:1" "$rootfs" /bin/sh ;;
        nginx) image_pack "$dir/$kind.tar.new" "katena.local/$kind:1" "$rootfs" /usr/sbin/nginx ;;
        esac
        mv "$dir/$kind.tar.new" "$dir/$kind.tar"
        rm -rf "$rootfs"
    done
}
