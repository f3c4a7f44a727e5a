// Certificates of clients: who has a good one comes in, and who has none, an old one, another authority's or a revoked one does not, over TLS 1.2 and
// 1.3; what is revoked while the gateway runs counts from the next connection on, which resumes nothing.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { Authorities } from '../lib/authorities.mjs'
import { metrics, run, scratch, selfSigned, until } from '../lib/command.mjs'
import { Gateway } from '../lib/gateway.mjs'

const timeout = 60000
let directory, server, authorities
before(async () => {
  directory = await scratch()
  server = await selfSigned(directory, 'localhost')
  authorities = new Authorities(directory)
  authorities.found('ours')
  authorities.found('other')
  for (const name of ['good', 'revoked', 'later']) authorities.issue('ours', name)
  authorities.issue('ours', 'expired', { dates: ['-startdate', '20200101000000Z', '-enddate', '20200201000000Z'] })
  authorities.issue('other', 'stranger')
  authorities.revoke('ours', 'revoked')
})
after(() => rm(directory, { recursive: true, force: true }))

async function start (how) {
  const gateway = await Gateway.start({ args: ['--gateway-tls-listen', '127.0.0.1:0', '--gateway-tls-certificate', server.certificate, '--gateway-tls-key', server.key,
    '--gateway-tls-client', how, '--gateway-tls-client-ca', authorities.path('ours.pem'), '--gateway-tls-client-crl', authorities.path('ours.crl')] })
  await until(() => gateway.out.includes('wss://'))
  gateway.port = Number(gateway.out.match(/wss:\/\/127\.0\.0\.1:(\d+)/)[1])
  return gateway
}

// 'ok' when a request is answered, else what went wrong; {said, session, reused}.
function visit (gateway, who, version, session) {
  return new Promise(resolve => {
    const result = { said: '' }
    const socket = connect({ port: gateway.port, host: '127.0.0.1', rejectUnauthorized: false, minVersion: version, maxVersion: version, session,
      ...(who ? authorities.pair(who) : {}) }, () => {
      result.reused = socket.isSessionReused()
      result.session ??= socket.getSession()
      socket.write('GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    })
    socket.on('session', given => { result.session = given })
    socket.on('data', data => { if (String(data).startsWith('HTTP/1.1 200')) result.said = 'ok' })
    socket.on('error', error => { result.said ||= error.code })
    socket.on('close', () => resolve(result))
  })
}

const refused = async (gateway, reason) => Number((await metrics(gateway))
  .match(new RegExp(`^holdfast_tls_client_certificates_refused_total\\{reason="${reason}"\\} (\\d+)`, 'm'))[1])

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(`where a certificate is required, only a good one lets in: ${version}`, { timeout }, async () => {
    const gateway = await start('require')
    try {
      assert.equal((await visit(gateway, 'good', version)).said, 'ok')
      for (const [who, reason, alert] of [[null, 'none', /CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/], ['expired', 'expired', /CERTIFICATE_EXPIRED/],
        ['stranger', 'unknown-authority', /UNKNOWN_CA/], ['revoked', 'revoked', /CERTIFICATE_REVOKED/]]) {
        const { said } = await visit(gateway, who, version)
        assert.match(said, alert, `${who}`)
        assert.equal(await refused(gateway, reason), 1, reason)
      }
      assert.match(gateway.log, /a connection was refused.*certificate/)

      // Revoked while it runs: the session that it had is worth nothing.
      const before = await visit(gateway, 'later', version)
      assert.equal(before.said, 'ok')
      authorities.revoke('ours', 'later')
      assert.equal((await visit(gateway, 'later', version, before.session)).reused, false)
      assert.equal((await run(['admin', 'reload', '--data', join(gateway.directory, 'data')])).code, 0)
      const since = await visit(gateway, 'later', version, before.session)
      assert.match(since.said, /CERTIFICATE_REVOKED/)
    } finally {
      await gateway.stop()
      authorities.issue('ours', 'later')
    }
  })
}

test('where it is asked for, none is fine and a wrong one is not', { timeout }, async () => {
  const gateway = await start('ask')
  try {
    assert.equal((await visit(gateway, null, 'TLSv1.3')).said, 'ok')
    assert.equal((await visit(gateway, 'good', 'TLSv1.3')).said, 'ok')
    assert.notEqual((await visit(gateway, 'expired', 'TLSv1.3')).said, 'ok')
    assert.notEqual((await visit(gateway, 'stranger', 'TLSv1.2')).said, 'ok')
    // Files that cannot be read leave the old ones in force.
    await writeFile(authorities.path('ours.crl'), 'no list')
    assert.notEqual((await run(['admin', 'reload', '--data', join(gateway.directory, 'data')])).code, 0)
    assert.match(gateway.log, /ours\.crl/)
    assert.equal((await visit(gateway, 'good', 'TLSv1.3')).said, 'ok')
  } finally {
    await gateway.stop()
    authorities.list('ours')
  }
})

test('settings that do not go together are refused', { timeout }, async () => {
  for (const args of [['--gateway-tls-client', 'perhaps'], ['--gateway-tls-client', 'require'], ['--gateway-tls-client-ca', authorities.path('ours.pem')]]) {
    const { code, err } = await run(['gateway', '--data', authorities.path('none'), ...args])
    assert.equal(code, 3)
    assert.match(err, /tls_client/)
  }
})
