// Completion in real shells: bash is asked for every command and option, zsh and fish for some, and all for files.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../lib/program.mjs'
import { run, scratch } from '../lib/command.mjs'
import { commands, settings } from './table.mjs'

const timeout = 60000
const words = text => text.split(' ').filter(Boolean)
const script = async shell => (await run(['completion', shell])).out

let directory, table
before(async () => {
  directory = await scratch()
  table = await commands()
  await mkdir(join(directory, 'notes folder'))
  await writeFile(join(directory, 'notes.txt'), '')
  for (const shell of ['bash', 'zsh', 'fish']) await writeFile(join(directory, `completion.${shell}`), await script(shell))
})
after(() => rm(directory, { recursive: true, force: true }))

// What bash offers behind each line; it parts words at = and : as readline does.
async function bash (lines) {
  const asked = lines.map(line => {
    const typed = line.split(/([=:])| /).filter((word, i, all) => word !== undefined && (word !== '' || i === all.length - 1))
    return `COMP_WORDS=(${['holdfast', ...typed].map(word => `'${word}'`).join(' ')}); COMP_CWORD=${typed.length}; COMPREPLY=()
_holdfast; printf '%s\\n' "\${COMPREPLY[@]}"; printf '\\0'`
  })
  const { code, out, err } = await run(['--norc'], { program: 'bash', input: `cd '${directory}'; source completion.bash\n${asked.join('\n')}` })
  assert.deepEqual([code, err], [0, ''])
  return out.split('\0').slice(0, -1).map(list => list.split('\n').filter(Boolean))
}
const offered = async line => (await bash([line]))[0].sort()

test('bash offers every first word, and behind one every second word', { timeout }, async () => {
  const first = [...new Set(table.map(command => command.words.split(' ')[0]))]
  assert.deepEqual(await offered(''), [...first, '--help', '--version'].sort())
  for (const family of first) {
    const second = table.map(command => command.words.split(' ')).filter(([word, other]) => word === family && other).map(([, other]) => other)
    if (second.length) assert.deepEqual(await offered(`${family} `), [...second, '--help'].sort(), family)
  }
  assert.deepEqual(await offered('dr'), ['drive'])
  assert.deepEqual(await offered('relay re'), ['rebuild'])
})

test('bash offers every option of every command, and every setting where settings are taken', { timeout }, async () => {
  const list = await settings()
  const flags = list.map(({ flag, kind }) => flag + (kind === 'yes or no' ? '' : '='))
  const answers = await bash(table.map(command => `${command.words} --`))
  table.forEach((command, i) => {
    const own = command.options.filter(({ name }) => name !== 'data').map(({ name, value }) => `--${name}${value ? '=' : ''}`)
    assert.deepEqual(answers[i].sort(), [...new Set([...own, ...(command.settings ? flags : [])])].sort(), command.words)
  })
})

test('bash offers files, folders and words as the value of an option and as arguments', { timeout }, async () => {
  for (const line of ['core append --file ', 'core append --file=', 'drive put KEY /path ', 'drive put --name photos KEY /path n', 'gateway --config '])
    assert.ok((await offered(line)).includes('notes.txt'), line)
  for (const line of ['store backup ', 'gateway --data ', 'gateway --data=', 'drive mirror --to n']) assert.deepEqual(await offered(line), ['notes folder'], line)
  for (const line of ['core get --encoding ', 'core get --encoding=']) assert.deepEqual(await offered(line), ['base64', 'hex'], line)
  assert.deepEqual(await offered('core get KEY 0 --encoding=h'), ['hex'])
  assert.deepEqual(await offered('completion '), ['bash', 'fish', 'zsh'])
  assert.deepEqual(await offered('relay rebuild --relay side '), ['bee', 'index'])
  assert.deepEqual(await offered('gateway --relay-auth='), ['no', 'yes'])
  assert.deepEqual(await offered('config explain relay.limit'), ['relay.limit_max'])
  for (const line of ['core get ', 'core fetch --tcp 127.0.0.1:7001 ', 'nothing ', 'nothing of this --']) assert.deepEqual(await offered(line), [], line)
})

test('bash itself completes a line that is typed', { timeout }, async () => {
  const typed = `
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.chdir(${JSON.stringify(directory)})
    os.execvp('bash', ['bash', '--norc', '--noprofile', '-i'])
def read(until, seconds=10):
    seen, end = b'', time.time() + seconds
    while until not in seen and time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            seen += os.read(fd, 4096)
    return seen
os.write(fd, b"PS1='ready> '; bind 'set enable-bracketed-paste off'; holdfast() { printf '<%s>' \\"$@\\"; echo ' end'; }; source completion.bash; clear\\n")
read(b'ready> ', 2); time.sleep(0.3); read(b'never', 0.3)
for line in [b'holdfast cor\\tapp\\t--fi\\tnotes.t\\t\\n', b'holdfast core get --enco\\th\\t\\n', b'holdfast drive mirror --to notes\\t\\n']:
    os.write(fd, line)
    sys.stdout.write(read(b'> end').decode())
    read(b'ready> ')
os.close(fd)
`
  const { out } = await run(['-c', typed], { program: 'python3' })
  assert.ok(out.includes('<core><append><--file=notes.txt> end'), out)
  assert.ok(out.includes('<core><get><--encoding=hex> end'), out)
  assert.match(out, /<drive><mirror><--to><notes folder\/?> end/)
})

test('zsh and fish take their scripts, in which every command and option stands', { timeout }, async () => {
  for (const [shell, check] of [['bash', ['-n']], ['zsh', ['-n']], ['fish', ['--no-execute']]]) {
    const { code, err } = await run([...check, join(directory, `completion.${shell}`)], { program: shell })
    assert.deepEqual([code, err], [0, ''], shell)
  }
  const zsh = await script('zsh')
  const fish = await script('fish')
  for (const { words: command, options } of table) {
    const own = zsh.slice(zsh.indexOf(`\t'${command}')\n\t\t_arguments`)).split(';;')[0]
    for (const { name } of options.filter(({ name }) => name !== 'data')) {
      assert.ok(own.includes(`--${name}`), `zsh: ${command} --${name}`)
      assert.ok(fish.includes(`'__holdfast_is ${command}' -l ${name} `), `fish: ${command} --${name}`)
    }
  }
})

test('fish offers words, options and files', { timeout }, async () => {
  const offers = async line => {
    const { out, err } = await run(['--no-config', '-c', `cd '${directory}'; source completion.fish; complete -C '${line}'`],
      { program: 'fish', env: { HOME: directory, XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory } })
    assert.equal(err, '')
    return out.split('\n').filter(Boolean).map(entry => entry.split('\t')[0])
  }
  assert.deepEqual((await offers('holdfast ')).sort(), [...new Set(table.map(command => command.words.split(' ')[0]))].sort())
  assert.deepEqual((await offers('holdfast relay re')), ['rebuild'])
  assert.ok((await offers('holdfast core append --fi')).includes('--file'))
  assert.ok((await offers('holdfast core append --file ')).includes('notes.txt'))
  assert.deepEqual(await offers('holdfast core get --encoding '), ['base64', 'hex'])
  assert.ok((await offers('holdfast gateway --store-qu')).includes('--store-quota'))
  assert.deepEqual(await offers('holdfast version --store-qu'), [])
})

test('zsh offers words and options', { timeout }, async () => {
  // A zsh in a terminal of its own, which lists what it offers when Tab is pressed.
  const asked = line => `
zmodload zsh/zpty
zpty z 'zsh -f -i'
zpty -w z "PS1='ready> '; LISTMAX=10000; autoload -Uz compinit && compinit -u -D; zstyle ':completion:*' list-prompt ''; source ${directory}/completion.zsh; print loaded\\$((40+2))"
local seen= chunk
while zpty -r z chunk && seen+=$chunk; do [[ $seen == *loaded42* ]] && break; done
zpty -n -w z "${line}"$'\\t\\t'
sleep 1
seen=
while zpty -rt z chunk; do seen+=$chunk; done
print -r -- $seen
zpty -d z`
  const offers = async line => (await run(['-f', '-c', asked(line)], { program: 'zsh', env: { HOME: directory, TERM: 'xterm' } })).out
  const first = await offers('holdfast ')
  for (const word of ['gateway', 'drive', 'completion']) assert.ok(first.includes(word), first)
  assert.match(await offers('holdfast relay '), /rebuild.*Make a relay/)
  assert.match(await offers('holdfast core get --enc'), /--encoding +-- of blocks in JSON/)
})
