// Manual pages: of every command, option and setting, and such that man and mandoc find no fault with them.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { run } from '../lib/command.mjs'
import { commands, settings } from './table.mjs'

const timeout = 60000
const page = async name => (await run(['manual', name])).out
const pages = async () => (await run(['manual'])).out.trim().split('\n')
// What a reader sees, without backspaces.
const rendered = async (name, program = 'mandoc', args = ['-Tutf8', '-Owidth=200']) =>
  (await run(args, { program, input: await page(name) })).out.replace(/.\x08/g, '')

test('there is a page for each first word, one of all, and one of the configuration, and what is installed is those', { timeout }, async () => {
  const families = [...new Set((await commands()).map(({ words }) => words.split(' ')[0]))]
  const names = await pages()
  assert.deepEqual([...names].sort(), ['holdfast.1', 'holdfast.conf.5', ...families.map(family => `holdfast-${family}.1`)].sort())
  const list = (await readFile(new URL('../../../packaging/meson.build', import.meta.url), 'utf8')).match(/foreach family : \[([^\]]*)\]/)[1]
  assert.deepEqual([...list.matchAll(/'([a-z]+)'/g)].map(match => match[1]).sort(), [...families].sort())
})

test('mandoc and groff find no fault with any page', { timeout }, async () => {
  for (const name of await pages()) {
    const input = await page(name)
    const mandoc = await run(['-T', 'lint', '-W', 'warning'], { program: 'mandoc', input })
    assert.equal(mandoc.out + mandoc.err, '', name)
    const groff = await run(['-ww', '-mdoc', '-Tutf8'], { program: 'groff', input })
    assert.equal(groff.err, '', name)
    assert.ok(groff.out.length > 500, name)
  }
})

test('every command and every option is in its family\'s page, and every command in holdfast.1', { timeout }, async () => {
  const all = await rendered('holdfast.1')
  const families = new Map()
  for (const { words, usage, options } of await commands()) {
    const name = `holdfast-${words.split(' ')[0]}.1`
    if (!families.has(name)) families.set(name, await rendered(name))
    const family = families.get(name)
    const at = family.indexOf(`\n   holdfast ${words}${usage ? ' ' + usage : ''}\n`)
    assert.ok(at >= 0, `${words} ${usage}`)
    const end = family.indexOf('\n   holdfast ', at + 1)
    const section = family.slice(at, end < 0 ? undefined : end)
    const shown = [...section.matchAll(/^ +(--\S+)(?=\s)/gm)].map(match => match[1])
    for (const { name, value } of options) assert.ok(shown.includes(`--${name}${value ? `=${value === 'DIR' ? 'DIRECTORY' : value}` : ''}`), `${words} --${name}`)
    assert.match(all, new RegExp(`\n {5}${words}\\b`))
  }
})

test('examples can be copied from the page as they stand', { timeout }, async () => {
  for (const program of [['mandoc', ['-Tutf8', '-Owidth=200']], ['groff', ['-mdoc', '-Tutf8', '-P-c', '-rLL=200n']]]) {
    const text = await rendered('holdfast-core.1', ...program)
    assert.ok(text.includes('holdfast core create --data data --name diary --encryption-key "$(openssl rand -hex 32)"\n'), program[0])
  }
})

test('every setting is in holdfast.conf.5 with its default, flag and variable', { timeout }, async () => {
  const text = (await rendered('holdfast.conf.5')).replace(/\s+/g, ' ')
  const list = await settings()
  assert.ok(list.length > 80)
  for (const setting of list) {
    assert.ok(text.includes(`${setting.flag}, ${setting.environment}`), setting.flag)
    assert.ok(text.includes(`default: ${setting.default || '(empty)'}`), setting.name)
    assert.ok(text.includes(setting.reason.replace(/\s+/g, ' ')), setting.reason)
  }
})

test('a page that is not there is refused', { timeout }, async () => {
  const { code, err, out } = await run(['manual', 'holdfast-nothing.1'])
  assert.equal(code, 2)
  assert.equal(out, '')
  assert.match(err, /holdfast-nothing\.1/)
})
