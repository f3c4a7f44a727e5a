// The parts of the dashboard that need no browser: the rings of the last minutes, and messages out of the stream.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { History } from '../../../dashboard/src/history.ts'
import { MessageReader } from '../../../dashboard/src/messages.ts'

test('the page is small: 120 kB in all', async () => {
  const built = new URL('../../../src/service/dashboard/', import.meta.url)
  const sizes = await Promise.all((await readdir(built)).map(async name => (await stat(new URL(name, built))).size))
  assert.ok(sizes.length === 4 && sizes.reduce((sum, size) => sum + size) <= 120000, `${sizes}`)
})

const measures = { count: { kind: 'counter', read: s => s.count }, level: { kind: 'gauge', read: s => s.level } }
const second = (n, count, level = 0, up = n) => ({ at: 1790000000000 + n * 1000, up_ms: up * 1000, count, level })

test('a counter\'s history is its rate by the gateway\'s own time', () => {
  const history = new History(measures)
  history.add(second(0, 100, 7))
  history.add({ ...second(1, 150, 8), up_ms: 2000 })
  assert.deepEqual(history.series(['count', 'level'], 60), [[1790000000, 1790000001], [null, 25], [7, 8]])
  assert.equal(history.grown(s => s.count), 50)
  assert.equal(history.rate(s => s.count), 25)
})

test('fifteen minutes are kept, and the last minute counts', () => {
  const history = new History(measures)
  for (let n = 0; n <= 1000; n++) history.add(second(n, n * 3))
  const [times, rates] = history.series(['count'], 900)
  assert.equal(times.length, 901)
  assert.equal(times.at(-1) - times[0], 900)
  assert.ok(rates.every(rate => rate === 3))
  assert.equal(history.series(['count'], 60)[0].length, 61)
  assert.equal(history.grown(s => s.count), 180)
  assert.equal(history.grown(s => s.count, 5), 15)
})

test('what was missed is a gap, and a gateway started anew is no fall', () => {
  const history = new History(measures)
  history.add(second(0, 100))
  history.add(second(1, 101))
  history.add(second(30, 500))
  history.add(second(31, 5, 0, 1))
  history.add(second(32, 7, 0, 2))
  assert.deepEqual(history.series(['count'], 60)[1], [null, 1, null, null, null, 2])
  assert.equal(history.grown(s => s.count), 2)
})

test('a clock that is set back begins anew rather than mix times', () => {
  const history = new History(measures)
  history.add(second(100, 1))
  history.add({ ...second(50, 2), up_ms: 101000 })
  assert.deepEqual(history.series(['level'], 900), [[1790000050], [0]])
})

test('messages are whole however the text is cut, and comments and other fields are passed over', () => {
  const text = ': hello\n\nevent: snapshot\r\ndata: {"a":\ndata: 1}\n\nid: 7\nevent: audit\ndata: ü\n\nevent: empty\n\ndata:x\n\ndata: unfinished'
  const whole = [{ event: 'snapshot', data: '{"a":\n1}' }, { event: 'audit', data: 'ü' }, { event: 'message', data: 'x' }]
  assert.deepEqual(new MessageReader().take(text), whole)
  for (let size = 1; size < 12; size++) {
    const reader = new MessageReader()
    const found = []
    for (let at = 0; at < text.length; at += size) found.push(...reader.take(text.slice(at, at + size)))
    assert.deepEqual(found, whole)
  }
})
