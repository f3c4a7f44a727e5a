// Runs the program to its end, asks admin.sock, and makes what a test needs around a gateway.
import { spawn } from 'node:child_process'
import { request } from 'node:http'
import { request as requestTls } from 'node:https'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { binary } from './program.mjs'

// A port that is free now, below those that the system gives to who asks for any, and of a hundred that are this process's: so it stays free until
// it is used, also by the test file that runs beside.
let portCount = 0
export async function freePort () {
  for (;;) {
    const port = 15000 + process.pid % 170 * 100 + portCount++ % 100
    const server = createServer()
    const isFree = await new Promise(resolve => server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)))
    if (!isFree) continue
    await new Promise(resolve => server.close(resolve))
    return port
  }
}

// {code, signal, out, err}; input is a string, a Buffer, or nothing.
export function run (args, { input = '', env = {}, program = binary, timeoutMs = 60000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, ...env }, timeout: timeoutMs, killSignal: 'SIGKILL' })
    const parts = { out: [], err: [] }
    child.stdout.on('data', data => parts.out.push(data))
    child.stderr.on('data', data => parts.err.push(data))
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({
      code, signal, out: Buffer.concat(parts.out).toString(), err: Buffer.concat(parts.err).toString()
    }))
  })
}

// {status, headers, body} of one request; target is a URL or a path on options.socketPath.
export function ask (target, { method = 'GET', headers = {}, body, ...rest } = {}) {
  return new Promise((resolve, reject) => {
    const options = { method, headers, agent: false, ...rest }
    const onAnswer = answer => {
      const parts = []
      answer.on('data', data => parts.push(data))
      answer.once('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts).toString() }))
    }
    const asked = target.startsWith('/') ? request({ path: target, ...options }, onAnswer)
      : (target.startsWith('https:') ? requestTls : request)(target, options, onAnswer)
    asked.once('error', reject)
    asked.end(body)
  })
}

export const administration = gateway => ({ socketPath: join(gateway.directory, 'data', 'admin.sock') })
// All metrics, as text.
export const metrics = async gateway => (await ask('/admin/metrics', administration(gateway))).body
export const scratch = () => mkdtemp(join(tmpdir(), 'holdfast-'))

export async function file (directory, name, text) {
  const path = join(directory, name)
  await writeFile(path, text)
  return path
}

// A self-signed certificate for localhost: {certificate, key}, paths.
export async function selfSigned (directory, name) {
  const certificate = join(directory, 'certificate.pem')
  const key = join(directory, 'key.pem')
  const made = await run(['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
    `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', certificate], { program: 'openssl' })
  if (made.code !== 0) throw new Error(made.err)
  return { certificate, key }
}

// An address of this machine that is not the loopback, or undefined.
export const outsideAddress = () => Object.values(networkInterfaces()).flat()
  .find(address => address.family === 'IPv4' && !address.internal)?.address

// What the gateway's process holds in memory of its own, in bytes.
export async function ownMemory (gateway) {
  const { readFile } = await import('node:fs/promises')
  const text = await readFile(`/proc/${gateway.child.pid}/status`, 'utf8')
  return Number(text.match(/RssAnon:\s+(\d+) kB/)[1]) * 1024
}

export async function until (happened, timeoutMs = 5000) {
  for (const end = Date.now() + timeoutMs; ;) {
    const value = await happened()
    if (value) return value
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${happened}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
