// kill -9 at random moments while cores are appended to and replicated: afterwards every core is sound, by `core verify`, and what was
// there before is there. SCALE multiplies the rounds.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { binary } from '../lib/program.mjs'
import { Scene, block, blocks, scale, sleep } from '../lib/core.mjs'

const rounds = Math.ceil(6 * scale)

async function assertSound (holdfast, key) {
  const { code, out, err } = await holdfast.try(['verify', key])
  assert.equal(code, 0, out + err)
}

test(`${rounds} kills while it appends leave a core that is sound and can be appended to`, { timeout: 60000 * rounds }, async t => {
  const scene = await Scene.of(t)
  const holdfast = await scene.holdfast()
  const { key } = await holdfast.create('--name', 'log')
  let length = 0
  for (let round = 0; round < rounds; round++) {
    const child = spawn(binary, ['core', 'append', key, '--data', holdfast.data], { stdio: ['pipe', 'ignore', 'ignore'] })
    const exited = new Promise(resolve => child.once('close', resolve))
    child.stdin.on('error', () => {})
    let sent = 0
    const feeding = (async () => {
      while (child.exitCode === null && child.signalCode === null && sent < 200000) {
        const some = Array.from({ length: 200 }, (_, i) => block(length + sent + i))
        sent += some.length
        if (!child.stdin.write(some.join('\n') + '\n')) await Promise.race([exited, new Promise(resolve => child.stdin.once('drain', resolve))])
        await sleep(1)
      }
    })()
    await sleep(20 + Math.random() * 400)
    child.kill('SIGKILL')
    await exited
    await feeding
    await assertSound(holdfast, key)
    const info = await holdfast.object(['info', key])
    assert.ok(info.length >= length && info.length <= length + sent, `${length} were there, now ${info.length}`)
    length = info.length
    if (length > 0) assert.equal(Buffer.from((await holdfast.object(['get', key, length - 1])).value, 'base64').toString(), block(length - 1).toString())
  }
  assert.ok(length > 0)
  await holdfast.append(key, blocks(3, length))
  assert.equal((await holdfast.object(['info', key])).length, length + 3)
  await assertSound(holdfast, key)
})

test(`${rounds} kills while it fetches leave what is sound, and it goes on from there`, { timeout: 60000 * rounds }, async t => {
  const scene = await Scene.of(t)
  const writer = await scene.holdfast()
  const reader = await scene.holdfast()
  const { key } = await writer.create('--name', 'log')
  await writer.append(key, blocks(20000))
  const server = await writer.serve(key)
  let held = 0, half = 0
  for (let round = 0; round < rounds; round++) {
    const child = spawn(binary, ['core', 'fetch', key, '--data', reader.data, '--tcp', `127.0.0.1:${server.port}`], { stdio: 'ignore' })
    const exited = new Promise(resolve => child.once('close', resolve))
    await sleep(10 + Math.random() * 150)
    child.kill('SIGKILL')
    await exited
    const { code, err } = await reader.try(['info', key])
    if (code !== 0 && held === 0) { // killed before there was a core, or a directory
      assert.ok(code === 1 || code === 4, err)
      continue
    }
    assert.equal(code, 0, err)
    await assertSound(reader, key)
    const info = await reader.object(['info', key])
    assert.ok(info.blocks_held >= held)
    held = info.blocks_held
    half += held > 0 && held < 20000
  }
  assert.ok(half > 0, 'some were killed half way')
  await reader.object(['fetch', key, '--tcp', `127.0.0.1:${server.port}`])
  assert.equal((await reader.object(['info', key])).blocks_held, 20000)
  await assertSound(reader, key)
  await server.stop()
})
