// The dashboard against a real gateway with a worker: figures move, acts have effects on the server, and the page says so when it is gone.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { finalizeEvent, generateSecretKey, getPublicKey } from 'nostr-tools/pure'
import * as nip19 from 'nostr-tools/nip19'
import { Author, Client } from '../lib/client.mjs'
import { freePort, until } from '../lib/command.mjs'
import { Dashboard, launch } from '../lib/dashboard.mjs'
import { Members } from '../lib/members.mjs'
import * as words from '../../../dashboard/src/words.ts'

const token = randomBytes(32).toString('hex')
const operator = generateSecretKey()
const author = new Author()
let browser, members, origin, dashboard, page

const configuration = (name, more = '') => writeFile(members.path('gateway.conf'), `[relay]\nname = ${name}\n${more}`)

before(async () => {
  browser = await launch()
  members = await Members.prepare()
  await configuration('The village relay')
  await writeFile(members.path('admin.token'), token, { mode: 0o600 })
  members.settings = ['--config', members.path('gateway.conf'), '--listen', `127.0.0.1:${await freePort()}`, '--relay-bee', '--tokens-enabled',
    '--admin-token-file', members.path('admin.token'), '--admin-keys', nip19.npubEncode(getPublicKey(operator))]
  await members.startGateway()
  origin = members.url.replace('ws', 'http').replace(/\/$/, '')
  dashboard = await Dashboard.open(browser, origin, { token })
  page = dashboard.page
})
after(async () => {
  await browser?.close()
  await members?.stop()
})

const snapshot = async () => (await fetch(`${origin}/api/admin/snapshot`, { headers: { authorization: `Bearer ${token}` } })).json()
const reasons = async () => (await members.admin('health').catch(() => ({ reasons: [] }))).reasons.map(({ name }) => name)
const confirm = async name => {
  await page.locator('dialog').getByRole('button', { name, exact: true }).click()
  await page.waitForSelector('dialog', { state: 'detached' })
}
const figure = async name => Number.parseFloat((await page.innerText(`[data-figure=${name}] .figure-value`)).replaceAll(',', ''))

test('a link signs in, and the token goes from the address', async () => {
  assert.equal(page.url(), origin + '/dashboard')
  await page.reload()
  await page.waitForSelector('.verdict')
  assert.equal(await page.innerText('h1'), 'The village relay')
  assert.equal(await page.innerText('#verdict'), 'All is as it should be.')
})

test('the page has an icon of its own, which is let in', async () => {
  const icon = new URL(await page.getAttribute('link[rel=icon]', 'href'), origin)
  const answer = await fetch(icon)
  assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'image/svg+xml'])
  assert.ok(await page.evaluate(async src => {
    const image = new Image()
    image.src = src
    await image.decode()
    return image.width > 0
  }, icon.href))
})

test('every reason that the gateway has a name for is told in words', async () => {
  const { refusals, sockets_refused: sockets, dispatcher: { jobs } } = await snapshot()
  for (const [names, told] of [[refusals, words.eventRefusals], [sockets, words.connectionRefusals], [jobs.refused, words.jobRefusals], [jobs.reassigned, words.jobMoves]]) {
    assert.deepEqual(Object.keys(told).sort(), Object.keys(names).sort())
  }
})

test('what is empty says what to do', async () => {
  assert.match(await page.innerText('#workers'), /No worker is here.*\n*.*holdfast worker/)
  assert.match(await page.innerText('#registrations'), /None is registered/)
})

test('what clients publish, read and ask for moves the figures and the chart', async () => {
  const client = await Client.connect(members.url)
  assert.deepEqual(await client.query({ kinds: [1] }), [])
  for (let i = 0; i < 20; i++) assert.deepEqual(await client.publish(author.event({ content: `note ${i}` })), [true, ''])
  await until(async () => await figure('in') > 0, 15000)
  await until(async () => await dashboard.number('relays', 'The village relay', 'Stored') === 20, 15000)
  assert.equal(await figure('clients'), 1)
  assert.ok(await page.evaluate(() => {
    const canvas = document.querySelector('.chart canvas')
    return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(value => value !== 0)
  }), 'something is drawn')
  const bad = { ...author.event({ content: 'good' }), content: 'changed' }
  assert.equal((await client.publish(bad))[0], false)
  await until(async () => await dashboard.cell('refusals', 'invalid', 'Last minute') === '1', 15000)
  client.close()
  await page.click('summary')
  await until(async () => (await page.innerText('#traffic details')).includes('21 events in, 20 of them stored'), 15000)
})

test('a worker appears with what it serves, and its tokens', async () => {
  await members.worker('worker', ['--relay-gateway-path', 'club', '--relay-token', '--relay-token-users', nip19.npubEncode(author.pubkey)])
  await members.registered('club', 1)
  await until(async () => await dashboard.cell('workers', 'club', 'State') === 'works', 20000)
  await until(async () => await dashboard.cell('registrations', 'club', 'Open to') === 'who has a token', 20000)
  await until(async () => await page.locator('#tokens').getByRole('button', { name: /^Revoke/ }).count() === 1, 30000)
})

test('pause and its undo, with the keyboard alone', async () => {
  await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0) })
  await dashboard.tabTo('Skip to the panels')
  await page.keyboard.press('Enter')
  await dashboard.tabTo('Pause replication of main')
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none')
  await page.keyboard.press('Enter')
  await page.waitForSelector('dialog[open]')
  assert.match(await page.innerText('dialog'), /given to no peer until it is resumed/)
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Cancel')
  await page.keyboard.press('Escape')
  await page.waitForSelector('dialog', { state: 'detached' })
  assert.ok(!(await reasons()).includes('bee-paused'), 'Escape does nothing')
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Pause replication of main')

  await page.keyboard.press('Enter')
  await page.waitForSelector('dialog[open]')
  await dashboard.tabTo('Pause', 3)
  await page.keyboard.press('Enter')
  await until(async () => (await reasons()).includes('bee-paused'))
  await until(async () => await dashboard.cell('relays', 'The village relay', 'State') === 'paused', 10000)
  assert.match(await page.innerText('.verdict'), /one thing wants a look[^]*given to no peer[^]*Resume it/)
  assert.equal(await page.innerText('[role=status] li span'), 'The bee of main is paused.')
  await dashboard.tabTo('Undo')
  await page.keyboard.press('Enter')
  await until(async () => !(await reasons()).includes('bee-paused'))
  await until(async () => await page.innerText('#verdict') === 'All is as it should be.', 10000)
  assert.equal(await dashboard.cell('audit', 'admin.resume', 'By'), 'token')
})

test('a revoked token ends the connection that came with it', async () => {
  const [secret] = (await readFile(members.path('worker/worker-tokens.json'), 'utf8')).match(/[A-Za-z0-9_-]{40,}\.[0-9a-f]{64}/)
  const client = await Client.connect(`${members.url}/club?token=${secret}`)
  assert.deepEqual(await client.query({ kinds: [1] }), [])
  await page.locator('#tokens').getByRole('button', { name: /^Revoke/ }).click()
  assert.match(await page.innerText('dialog'), /ends at once[^]*cannot be made good again/)
  await confirm('Revoke')
  assert.equal(await client.closed, 4403)
  await until(async () => (await members.admin('tokens')).tokens.every(({ state }) => state === 'revoked'))
  await until(async () => await page.locator('#tokens').getByRole('button', { name: /^Revoke/ }).count() === 0, 15000)
})

test('all tokens of a person, and all of a worker, are revoked at once', async () => {
  const other = nip19.npubEncode(getPublicKey(generateSecretKey()))
  const users = { choir: `${nip19.npubEncode(author.pubkey)},${other}`, notes: nip19.npubEncode(author.pubkey) }
  for (const [path, of] of Object.entries(users)) await members.worker(path, ['--relay-gateway-path', path, '--relay-token', '--relay-token-users', of])
  const active = async () => (await members.admin('tokens')).tokens.filter(({ state }) => state === 'active')
  await until(async () => (await active()).length === 3, 30000)
  const before = await active()
  const hers = before.filter(({ pubkey }) => pubkey === author.pubkey)
  assert.equal(hers.length, 2)
  const button = id => page.locator('#tokens').getByRole('button', { name: `Revoke token ${id.slice(0, 6)}…${id.slice(-6)}` })
  await until(async () => await button(hers[0].id).count() === 1, 15000)
  await button(hers[0].id).click()
  const more = page.getByRole('checkbox', { name: /2 tokens of 2 relays/ })
  await more.check()
  await confirm('Revoke')
  await dashboard.says('2 tokens revoked.')
  const isRevoked = async ({ id }) => (await members.admin('tokens')).tokens.find(token => token.id === id).state === 'revoked'
  for (const token of hers) await until(() => isRevoked(token))

  const [left] = before.filter(token => !hers.includes(token))
  assert.equal(await isRevoked(left), false)
  const worker = page.locator('#workers').getByRole('button', { name: 'Revoke tokens of the worker of choir' })
  await until(async () => await worker.count() === 1, 15000)
  await worker.click()
  await until(async () => /It has \d+ tokens? of 1 relay\./.test(await page.innerText('dialog')))
  assert.match(await page.innerText('dialog'), /comes back by itself/)
  await confirm('Revoke all')
  await until(() => isRevoked(left))
  await until(async () => await dashboard.cell('audit', 'operator.revoked', 'By') === 'token', 10000)
})

test('a bee is rebuilt on a new fork, with all events, and for an index it is told how', async () => {
  const bee = async () => (await snapshot()).relays[0].bee
  const before = await bee()
  await page.getByRole('button', { name: 'Rebuild the bee of main' }).click()
  assert.match(await page.innerText('dialog'), /new fork[^]*cannot be called back/)
  await confirm('Rebuild')
  await until(async () => { const now = await bee(); return now.fork > before.fork && now.events === before.events && now.lag_events === 0 }, 20000)
  assert.equal((await bee()).key, before.key)
  await until(async () => (await dashboard.cell('relays', 'The village relay', 'Bee')).includes('fork 1'), 10000)
  await page.getByText('Rebuild an index').click()
  assert.match(await page.innerText('#relays details'), /holdfast relay rebuild --data/)
})

test('a relay is unregistered', async () => {
  await page.getByRole('button', { name: 'Unregister club' }).click()
  await confirm('Unregister')
  await dashboard.says('club is unregistered.')
  await until(async () => await dashboard.cell('audit', 'operator.removed', 'By') === 'token', 10000)
})

test('reload says first what needs a restart, and what is wrong with the file', async () => {
  const reload = page.getByRole('button', { name: 'Reload configuration…' })
  await configuration('The harbour relay', '[store]\nquota = 10 GiB\n')
  await reload.click()
  await until(async () => (await page.innerText('dialog')).includes('Only a restart puts these in force: store.quota'), 10000)
  assert.equal(await page.innerText('h1'), 'The village relay')
  await confirm('Reload')
  await until(async () => await page.innerText('h1') === 'The harbour relay', 10000)

  await configuration('x', 'no_such_setting = 1\n')
  await reload.click()
  await until(async () => (await page.locator('dialog .fault').innerText().catch(() => '')).includes('no_such_setting'), 10000)
  assert.equal(await page.locator('dialog button').count(), 1, 'only closing is left')
  await confirm('Close')
  await configuration('The harbour relay')
})

test('a hidden tab goes on counting, and draws when it is looked at again', async () => {
  const hide = hidden => page.evaluate(hidden => {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  }, hidden)
  const stored = await dashboard.number('relays', 'The harbour relay', 'Stored')
  await hide(true)
  const client = await Client.connect(members.url)
  assert.deepEqual(await client.publish(author.event({ content: 'unseen' })), [true, ''])
  client.close()
  await new Promise(resolve => setTimeout(resolve, 2500))
  await hide(false)
  await until(async () => await dashboard.number('relays', 'The harbour relay', 'Stored') === stored + 1)
})

test('on a phone, in light and dark, nothing is cut off, and everybody can read and name it', async () => {
  const phone = await Dashboard.open(browser, origin, { token, width: 360, height: 780, hasTouch: true })
  const isFaultless = async () => {
    assert.deepEqual(await phone.cutOff(), [])
    assert.deepEqual(await phone.faint(), [])
    assert.deepEqual(await phone.barriers(), [])
  }
  await until(async () => await phone.page.locator('#audit tbody tr').count() > 3, 15000)
  for (const colorScheme of ['light', 'dark']) {
    await phone.page.emulateMedia({ colorScheme })
    await until(() => phone.page.evaluate(theme => document.documentElement.dataset.theme === theme, colorScheme))
    await isFaultless()
    if (process.env.SCREENSHOTS) await phone.page.screenshot({ path: `${process.env.SCREENSHOTS}/dashboard-phone-${colorScheme}.png` })
    await phone.page.getByRole('button', { name: 'Drain and end…' }).click()
    await phone.page.waitForSelector('dialog[open]')
    await isFaultless()
    await phone.page.keyboard.press('Escape')
  }
  assert.deepEqual([phone.faults, phone.outside], [[], []])
  await phone.close()
})

test('names of any length and hundreds of workers leave the page as wide as it is, and short', async () => {
  const real = await snapshot()
  const worker = number => ({ peer: number.toString(16).padStart(64, '0'), hypertuna: false, healthy: number % 9 !== 5, connected_at: real.at, streams: 0,
    relays: ['a'.repeat(120), `и${'я'.repeat(90)} ${number}`], telemetry: null, dispatch: null })
  const strange = { ...real, relays: [{ ...real.relays[0], title: 'W'.repeat(200) }], workers: Array.from({ length: 256 }, (_, number) => worker(number)) }
  for (const width of [360, 1280]) {
    const other = await Dashboard.open(browser, origin, { token, width, prepare: page => page.route('**/api/admin/events',
      route => route.fulfill({ contentType: 'text/event-stream', body: `event: snapshot\ndata: ${JSON.stringify(strange)}\n\n` })) })
    assert.deepEqual(await other.cutOff(), [])
    assert.deepEqual(await other.barriers(), [])
    assert.equal(await other.page.locator('#workers tbody tr').count(), 10)
    assert.match(await other.cell('workers', 'aaa', 'State'), /does not answer/, 'those first that want a look')
    assert.ok(await other.page.locator('.verdict li').count() <= 3)
    assert.match(await other.page.innerText('.verdict'), /28 workers do not answer/)
    assert.deepEqual([other.faults, other.outside], [[], []])
    await other.close()
  }
})

test('colours are as the system has them, unless chosen', async () => {
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
  const light = await background()
  await page.emulateMedia({ colorScheme: 'dark' })
  await until(async () => await background() !== light)
  const dark = await background()
  await page.getByLabel('Colours').selectOption('light')
  assert.equal(await background(), light)
  await page.reload()
  await page.waitForSelector('.verdict')
  assert.equal(await background(), light)
  await page.getByLabel('Colours').selectOption('system')
  assert.equal(await background(), dark)
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('.link i')).animationName), 'none')
  assert.deepEqual(await dashboard.faint(), [])
  assert.deepEqual(await dashboard.barriers(), [])
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/dashboard.png`, fullPage: true })
})

test('a wrong token is refused in words, and an extension\'s key signs in', async () => {
  const signer = page => page.exposeFunction('signEvent', event => finalizeEvent(event, operator))
    .then(() => page.addInitScript(() => { window.nostr = { signEvent: event => window.refuses ? Promise.reject(new Error()) : window.signEvent(event) } }))
  const other = await Dashboard.open(browser, origin, { prepare: signer })
  await other.page.getByLabel('Token').fill('wrong')
  await other.page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await other.page.waitForSelector('#why')
  assert.match(await other.page.innerText('#why'), /\w{4}/)
  assert.deepEqual(await other.faint(), [])
  const extension = other.page.getByRole('button', { name: 'Sign in with the extension' })
  await other.page.evaluate(() => { window.refuses = true })
  await extension.click()
  await until(async () => (await other.page.locator('#why').innerText()).includes('The extension did not sign.'))
  await other.page.evaluate(() => { window.refuses = false })
  await extension.click()
  await other.page.waitForSelector('.verdict')
  await other.page.getByRole('button', { name: 'Pause replication of main' }).click()
  await other.page.locator('dialog').getByRole('button', { name: 'Pause', exact: true }).click()
  await until(async () => (await reasons()).includes('bee-paused'))
  await until(async () => (await other.cell('audit', 'admin.pause', 'By'))?.startsWith('npub1'), 10000)
  await members.admin('resume')
  await other.page.getByRole('button', { name: 'Sign out' }).click()
  assert.equal(await other.page.evaluate(() => sessionStorage.length), 0)
  let asked = 0
  other.page.on('request', () => { asked++ })
  await new Promise(resolve => setTimeout(resolve, 1500))
  assert.equal(asked, 0, 'nothing is asked any more')
  assert.deepEqual([other.faults, other.outside], [[], []])
  await other.close()
})

test('a gateway that hangs is told of, and its coming back', async () => {
  members.gateway.child.kill('SIGSTOP')
  const began = Date.now()
  await dashboard.says('No connection with the gateway.', 10000)
  assert.ok(Date.now() - began < 5000, `after ${Date.now() - began} ms`)
  await until(async () => /figures are [2-9] s old/.test(await page.innerText('.link-bar')), 10000)
  members.gateway.child.kill('SIGCONT')
  await dashboard.says('Connected again after', 20000)
  assert.equal(await page.locator('.link-bar > div').count(), 0)
})

test('a gateway that is killed is told of within three seconds, and its new life', async () => {
  await members.gateway.end('SIGKILL')
  const began = Date.now()
  await dashboard.says('No connection with the gateway.', 10000)
  assert.ok(Date.now() - began < 3000, `after ${Date.now() - began} ms`)
  assert.equal(await page.innerText('#verdict'), 'How it is now is not known.')
  assert.match(await page.innerText('.about'), /Not connected/)
  assert.match(await page.title(), /no connection/)
  assert.deepEqual(await dashboard.faint(), [])
  assert.deepEqual(await dashboard.barriers(), [])
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/dashboard-lost.png` })
  await members.startGateway()
  await dashboard.says('The gateway was started anew: counters begin at 0.', 20000)
  await until(async () => await page.innerText('.link') === 'Live')
})

test('drain says that there is no way back, and that the gateway has ended', async () => {
  await page.getByRole('button', { name: 'Drain and end…' }).click()
  assert.match(await page.innerText('dialog'), /cannot be called back/)
  await confirm('Drain and end')
  assert.deepEqual(await members.gateway.exited, { code: 0, signal: null })
  await dashboard.says('The gateway was told to end, and has ended.', 10000)
  assert.deepEqual([dashboard.faults, dashboard.outside], [[], []])
})
