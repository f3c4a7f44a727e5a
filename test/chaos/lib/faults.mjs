// How each kind of fault is made and ended. Whom it touches: the subscriptions that the worker, or the gateway, serves at that moment.
import { openSync, closeSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { sleep } from '../../interop/lib/client.mjs'
import { has } from './world.mjs'

const SLICE_MS = 100, AWAKE_MS = 15 // a slowed process runs for so long of each slice

// Most of it by a process of its own, as this one has clients to serve.
async function fill (directory) {
  const ballast = join(directory, 'ballast'), { bavail, bsize } = statfsSync(directory)
  await new Promise(resolve => spawn('fallocate', ['-l', String(bavail * bsize), ballast], { stdio: 'ignore' }).once('close', resolve))
  const file = openSync(ballast, 'a'), block = Buffer.alloc(1 << 16)
  try {
    for (;;) writeSync(file, block)
  } catch (error) {
    if (error.code !== 'ENOSPC') throw error
  } finally {
    closeSync(file)
  }
}

function partition (part, variant) {
  const sets = { 'both ways': ['from', 'to'], outwards: ['from'], inwards: ['to'] }[variant]
  for (const set of sets) has('nft', 'add', 'element', 'ip', 'chaos', set, `{ ${part.host} }`)
  return () => { for (const set of sets) has('nft', 'delete', 'element', 'ip', 'chaos', set, `{ ${part.host} }`) }
}

function slow (part) {
  const { child } = part
  child.kill('SIGSTOP')
  let isAwake = false
  const timer = setInterval(() => {
    child.kill('SIGCONT')
    isAwake = true
    setTimeout(() => { if (isAwake) child.kill('SIGSTOP') }, AWAKE_MS)
  }, SLICE_MS)
  return () => {
    clearInterval(timer)
    isAwake = false
    child.kill('SIGCONT')
  }
}

// Begins it, and resolves with what ends it.
async function make ({ kind, variant }, part) {
  switch (kind.slice(kind.indexOf(' ') + 1)) {
  case 'killed':
    await part.end('SIGKILL')
    return () => part.start()
  case 'restarted':
  case 'drained':
    await part.end('SIGTERM')
    return () => part.start()
  case 'frozen':
    part.signal('SIGSTOP')
    return () => part.signal('SIGCONT')
  case 'slowed':
    return slow(part)
  case 'partitioned':
    return partition(part, variant)
  case 'clock shifted':
    await part.shift(variant)
    return () => part.shift(0)
  case 'store full':
    await fill(part.directory)
    return () => rmSync(join(part.directory, 'ballast'))
  }
}

export async function befall (fault, target, storm) {
  await sleep(fault.delay)
  const part = storm.world.parts[target]
  const touched = await storm.servedBy(target)
  const kind = target === 'three' ? `${fault.kind} (the only one)` : fault.kind
  const times = []
  storm.ledger.await(kind, touched, ms => times.push(Math.round(ms)))
  const began = performance.now()
  const end = await make(fault, part)
  await sleep(fault.ms)
  await end()
  return { touched, times, tookMs: performance.now() - began }
}
