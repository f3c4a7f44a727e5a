// The Dockerfile, without building it, which takes a base image and minutes: its packages are those that the program is built with and loads, and
// its user, environment, command and health check are run as they stand.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmod, chown, copyFile, mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../lib/program.mjs'
import { Author, Client } from '../lib/client.mjs'
import { run, scratch, until } from '../lib/command.mjs'

const timeout = 60000
const root = new URL('../../../', import.meta.url)
let directory, lines, stages
before(async () => {
  directory = await scratch()
  const text = await readFile(new URL('packaging/Dockerfile', root), 'utf8')
  lines = text.split('\n').filter(line => line && !line.startsWith('#')).map(line => [line.split(' ')[0], line.slice(line.indexOf(' ') + 1)])
  const second = lines.findLastIndex(([word]) => word === 'FROM')
  stages = [lines.slice(0, second), lines.slice(second)]
})
after(() => rm(directory, { recursive: true, force: true }))

const installed = stage => stage.find(([word, rest]) => word === 'RUN' && rest.includes('apt-get install'))[1].match(/--no-install-recommends (.*?) &&/)[1].split(' ')
const value = word => stages[1].find(([name]) => name === word)?.[1]

test('it has only instructions that there are, in two stages from Debian 12, and ends as somebody who is not root', { timeout }, async () => {
  const known = ['FROM', 'RUN', 'WORKDIR', 'COPY', 'USER', 'ENV', 'VOLUME', 'EXPOSE', 'STOPSIGNAL', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD']
  assert.deepEqual(lines.filter(([word]) => !known.includes(word)), [])
  assert.deepEqual(lines.filter(([word]) => word === 'FROM').map(([, rest]) => rest), ['debian:12-slim AS build', 'debian:12-slim'])
  assert.equal(value('USER'), 'holdfast')
  assert.match(stages[1].find(([word]) => word === 'RUN')[1], /useradd --system --uid 7777 .* holdfast && install -d -m 0700 -o holdfast -g holdfast \/var\/lib\/holdfast$/)
  assert.equal(value('VOLUME'), '/var/lib/holdfast')
  for (const [, rest] of lines.filter(([word, rest]) => word === 'RUN' && rest.includes('apt-get'))) assert.match(rest, /rm -rf \/var\/lib\/apt\/lists\/\* \/var\/cache\/apt\/\*/)
})

test('it is built with the packages that tools/setup names, which are in Debian', { timeout }, async () => {
  const setup = await readFile(new URL('tools/setup', root), 'utf8')
  const wanted = setup.match(/build_packages=\(([^)]*)\)/)[1].split(/\s+/).filter(name => name && !['make', 'libcmocka-dev'].includes(name))
  assert.deepEqual(installed(stages[0]).sort(), wanted.sort())
  for (const [, rest] of stages[0].filter(([word]) => word === 'COPY')) assert.equal(rest, '. .')
})

test('it has the packages of every library that the program loads', { timeout }, async () => {
  const { out } = await run([binary], { program: 'ldd' })
  const files = [...out.matchAll(/=> (\/\S+)/g)].map(match => match[1])
  assert.ok(files.length > 5)
  for (const file of files) {
    const real = (await run(['-f', file], { program: 'readlink' })).out.trim()
    const owner = (await run(['-S', real, real.replace(/^\/usr/, '')], { program: 'dpkg' })).out.split(':')[0]
    assert.ok(['libc6', ...installed(stages[1])].includes(owner), `${file}: ${owner}`)
  }
  assert.ok(installed(stages[1]).includes('libhiredis0.14'), 'which is loaded when Redis is configured')
})

test('its command serves as its user with its environment, and its health check asks it', { timeout }, async t => {
  if (process.getuid() !== 0) return t.diagnostic('only root can be another user, so nothing was tried')
  const [data, program] = [join(directory, 'volume'), join(directory, 'holdfast')]
  await mkdir(data, { mode: 0o700 })
  await chown(data, 7777, 7777)
  await chmod(directory, 0o755)
  await copyFile(binary, program)
  await chmod(program, 0o755)
  const own = Object.fromEntries(value('ENV').split(' ').map(pair => pair.split('=')))
  assert.deepEqual(own, { HOLDFAST_GATEWAY_DATA: '/var/lib/holdfast', HOLDFAST_GATEWAY_LISTEN: '0.0.0.0:7777' })
  assert.equal(value('EXPOSE'), '7777')
  const env = { PATH: directory, HOLDFAST_GATEWAY_DATA: data, HOLDFAST_GATEWAY_LISTEN: '127.0.0.1:0' }
  const command = [...JSON.parse(value('ENTRYPOINT')), ...JSON.parse(value('CMD'))]
  const options = { cwd: data, uid: 7777, gid: 7777, env }
  const child = spawn(command[0], command.slice(1), { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise(resolve => child.once('exit', (code, signal) => resolve({ code, signal })))
  const check = () => new Promise(resolve => {
    const words = JSON.parse(value('HEALTHCHECK').match(/CMD (\[.*\])$/)[1])
    spawn(words[0], words.slice(1), { ...options, stdio: 'ignore' }).once('exit', resolve)
  })
  let out = ''
  child.stdout.on('data', text => { out += text })
  await until(() => /ws:\/\/127\.0\.0\.1:\d+/.test(out))
  const client = await Client.connect(out.match(/ws:\/\/127\.0\.0\.1:\d+/)[0])
  assert.deepEqual(await client.publish(new Author().event({ content: 'from a container' })), [true, ''])
  client.close()
  assert.equal(await check(), 0)
  child.kill('SIGSTOP')
  child.kill('SIGCONT')
  child.kill(value('STOPSIGNAL'))
  assert.deepEqual(await ended, { code: 0, signal: null })
  assert.notEqual(await check(), 0)
})
