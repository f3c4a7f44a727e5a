// The packages, of the folder DEBS: installed, upgraded over data, removed and purged on a copy-on-write view of this machine, in which no
// service is started. Where no such view can be had, nothing is tried, and that is said.
import { before, test } from 'node:test'
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { commands } from '../interop/deploy/table.mjs'
import { run } from '../interop/lib/command.mjs'

const timeout = 240000
const folder = process.env.DEBS
let debs
before(async () => { debs = (await readdir(folder)).filter(name => name.endsWith('.deb')).map(name => join(folder, name)).sort() })

// A shell script where / is a view of this machine's that is gone afterwards.
const inView = script => run(['--mount', '--propagation', 'private', 'bash', '-ec', `
t=$(mktemp -d); mount -t tmpfs tmpfs $t; mkdir $t/upper $t/work $t/root
mount -t overlay overlay -o lowerdir=/,upperdir=$t/upper,workdir=$t/work $t/root || { echo NO VIEW; exit 0; }
mount -t proc proc $t/root/proc; mount --bind /dev $t/root/dev
mkdir -p $t/root/debs; mount --bind '${folder}' $t/root/debs
printf '#!/bin/sh\\nexit 101\\n' > $t/root/usr/sbin/policy-rc.d; chmod 755 $t/root/usr/sbin/policy-rc.d
rm -rf $t/root/etc/holdfast $t/root/var/lib/holdfast
chroot $t/root /bin/bash -ec '${script.replaceAll("'", "'\\''")}' 2>&1`], { program: 'unshare', timeoutMs: timeout })

test('lintian finds no fault, and there are no overrides', { timeout }, async () => {
  assert.equal(debs.length, 3)
  const { out, code } = await run(['--fail-on', 'warning', '--allow-root', ...debs], { program: 'lintian', env: { LC_ALL: 'C' } })
  assert.deepEqual([out, code], ['', 0])
})

test('every page, completion, unit and example is in it', { timeout }, async () => {
  const { out } = await run(['--contents', debs.find(name => /\/holdfast_/.test(name))], { program: 'dpkg-deb' })
  const names = out.split('\n').map(line => line.split(/\s+/)[5])
  const families = [...new Set((await commands()).map(({ words }) => words.split(' ')[0]))]
  for (const name of [...families.map(family => `usr/share/man/man1/holdfast-${family}.1.gz`), 'usr/share/man/man1/holdfast.1.gz', 'usr/share/man/man5/holdfast.conf.5.gz',
    'usr/share/bash-completion/completions/holdfast', 'usr/share/zsh/vendor-completions/_holdfast', 'usr/share/fish/vendor_completions.d/holdfast.fish',
    'lib/systemd/system/holdfast.service', 'lib/systemd/system/holdfast-worker@.service', 'etc/holdfast/holdfast.conf', 'usr/share/doc/holdfast/examples/holdfast.conf',
    'usr/share/doc/holdfast/examples/low-ports.conf', 'usr/share/doc/holdfast/examples/nginx-holdfast.conf', 'usr/share/doc/holdfast/examples/caddy-Caddyfile']) {
    assert.ok(names.includes(`./${name}`), name)
  }
})

test('it is installed, serves, is upgraded over its data, removed without it, and purged with it', { timeout }, async t => {
  const { out, err, code } = await inView(`
export DEBIAN_FRONTEND=noninteractive
dpkg --force-unsafe-io -i /debs/holdfast_*.deb >/dev/null
id -u holdfast >/dev/null && stat -c "%a %U:%G" /etc/holdfast
holdfast config check --config /etc/holdfast/holdfast.conf
systemctl is-enabled holdfast.service || true
install -d -m 0700 -o holdfast -g holdfast /var/lib/holdfast
as() { setpriv --reuid holdfast --regid holdfast --clear-groups "$@"; }
setpriv --reuid holdfast --regid holdfast --clear-groups holdfast gateway --config /etc/holdfast/holdfast.conf --data /var/lib/holdfast --listen 127.0.0.1:0 >/tmp/out 2>&1 & gateway=$!
for i in $(seq 100); do grep -q "relay at" /tmp/out && break; sleep 0.1; done
as holdfast admin health --data /var/lib/holdfast
dpkg --force-unsafe-io -i /debs/holdfast_*.deb >/dev/null && kill -0 $gateway && echo SERVES ON
kill $gateway; wait $gateway; echo ENDED $?
echo "quota = 11 GiB ; mine" >> /etc/holdfast/holdfast.conf
dpkg --force-unsafe-io -i /debs/holdfast_*.deb >/dev/null; grep -c mine /etc/holdfast/holdfast.conf
as holdfast store verify --data /var/lib/holdfast
dpkg --force-unsafe-io -i /debs/libholdfast*.deb >/dev/null 2>&1 || true
dpkg -r holdfast >/dev/null; test ! -e /usr/bin/holdfast && test -d /var/lib/holdfast/store && test -f /etc/holdfast/holdfast.conf && echo KEPT
dpkg -P holdfast >/dev/null; test ! -e /var/lib/holdfast && test ! -e /etc/holdfast && echo GONE
dpkg -l holdfast 2>/dev/null | grep -c "^ii" || true`)
  if (out.includes('NO VIEW') || /unshare|permission/i.test(err)) return t.diagnostic('no copy-on-write view of this machine can be had here')
  assert.equal(code, 0, out + err)
  for (const line of ['750 root:holdfast', 'The configuration is right.', 'status: ok', 'SERVES ON', 'ENDED 0', '1', 'The store is sound', 'KEPT', 'GONE', '0']) {
    assert.ok(out.includes(line), `${line}: ${out}`)
  }
})

test('a program is built with the packages of the library alone', { timeout }, async t => {
  const { out, err, code } = await inView(`
dpkg --force-unsafe-io --force-depends -i /debs/libholdfast0_*.deb /debs/libholdfast-dev_*.deb >/dev/null 2>&1
printf "#include <holdfast/error.h>\\n#include <stdio.h>\\nint main(void) { puts(hf_error_name(HF_ENOSPC)); return 0; }\\n" > /tmp/a.c
gcc -o /tmp/a /tmp/a.c $(pkg-config --cflags --libs holdfast) && /tmp/a && ldd /tmp/a | grep -o "libholdfast.so.0 => /[^ ]*"`)
  if (out.includes('NO VIEW') || /unshare|permission/i.test(err)) return t.diagnostic('no copy-on-write view of this machine can be had here')
  assert.deepEqual([code, out.split('\n')[0]], [0, 'HF_ENOSPC'], out + err)
  assert.match(out, /libholdfast\.so\.0 => \/(usr\/)?lib\//)
})
