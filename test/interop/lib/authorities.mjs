// Authorities of certificates in a directory, made with openssl: NAME.pem, NAME.key and what an authority has revoked, NAME.crl.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createHash, X509Certificate } from 'node:crypto'
import { join } from 'node:path'

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export class Authorities {
  constructor (directory) { this.directory = directory }

  path (name) { return join(this.directory, name) }

  openssl (...args) { execFileSync('openssl', args, { cwd: this.directory, stdio: ['ignore', 'ignore', 'pipe'] }) }

  found (name) {
    this.openssl('req', '-x509', ...curve, '-days', '10', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`)
    writeFileSync(this.path(`${name}.cnf`), `[ca]\ndefault_ca = d\n[d]\ndatabase = ${name}.db\nserial = ${name}.serial\nnew_certs_dir = .\n` +
      `certificate = ${name}.pem\nprivate_key = ${name}.key\ndefault_md = sha256\ndefault_days = 5\ndefault_crl_days = 5\npolicy = p\nunique_subject = no\n` +
      '[p]\norganizationName = optional\ncommonName = supplied\n')
    writeFileSync(this.path(`${name}.db`), '')
    writeFileSync(this.path(`${name}.serial`), '01\n')
    this.list(name)
  }

  list (by) { this.openssl('ca', '-config', `${by}.cnf`, '-gencrl', '-out', `${by}.crl`) }

  issue (by, name, { dates = [], subject = `/CN=${name}` } = {}) {
    this.openssl('req', '-new', ...curve, '-utf8', '-subj', subject, '-keyout', `${name}.key`, '-out', `${name}.csr`)
    this.openssl('ca', '-config', `${by}.cnf`, '-batch', '-notext', '-utf8', '-in', `${name}.csr`, '-out', `${name}.pem`, ...dates)
  }

  revoke (by, name) {
    this.openssl('ca', '-config', `${by}.cnf`, '-revoke', `${name}.pem`)
    this.list(by)
  }

  // What a client shows.
  pair (name) { return { key: readFileSync(this.path(`${name}.key`)), cert: readFileSync(this.path(`${name}.pem`)) } }

  fingerprint (name) { return createHash('sha256').update(new X509Certificate(readFileSync(this.path(`${name}.pem`))).raw).digest('hex') }
}
