// The table of commands, as --help tells of it: [{words, usage, options: [{name, value}], settings}].
import { run } from '../lib/command.mjs'

export async function commands () {
  const help = (await run(['--help'])).out
  const list = [...help.slice(help.indexOf('Commands:\n')).matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {1,}/gm)].map(match => match[1])
  return Promise.all(list.map(async words => {
    const text = (await run([...words.split(' '), '--help'])).out
    const own = text.slice(text.lastIndexOf('\nOptions:'))
    return {
      words,
      usage: text.split('\n')[0].slice('holdfast '.length + words.length).replace('[options]', '').trim(),
      options: [...own.matchAll(/^ {2}--([a-z][a-z-]*)(?:=(\S+))?/gm)].map(([, name, value]) => ({ name, value })),
      settings: text.includes('--SECTION-NAME')
    }
  }))
}

export const settings = async () => JSON.parse((await run(['config', 'explain', '--json'])).out)
