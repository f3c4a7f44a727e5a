// The dashboard by certificate: the browser shows it, the gateway takes the one that is named, and what is done has its name.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { Authorities } from '../lib/authorities.mjs'
import { scratch, selfSigned, until } from '../lib/command.mjs'
import { Dashboard, launch } from '../lib/dashboard.mjs'
import { Gateway } from '../lib/gateway.mjs'

let browser, directory, authorities, gateway, origin

before(async () => {
  browser = await launch()
  directory = await scratch()
  const server = await selfSigned(directory, 'localhost')
  authorities = new Authorities(directory)
  authorities.found('ours')
  authorities.issue('ours', 'ada')
  authorities.issue('ours', 'eve')
  gateway = await Gateway.start({ args: ['--gateway-tls-listen', '127.0.0.1:0', '--gateway-tls-certificate', server.certificate, '--gateway-tls-key', server.key,
    '--gateway-tls-client', 'ask', '--gateway-tls-client-ca', authorities.path('ours.pem'), '--admin-certificates', 'CN=ada', '--relay-bee'] })
  await until(() => gateway.out.includes('wss://'))
  origin = gateway.out.match(/wss:\/\/127\.0\.0\.1:\d+/)[0].replace('wss', 'https')
})
after(async () => {
  await browser?.close()
  await gateway?.stop()
  await rm(directory, { recursive: true, force: true })
})

const open = who => Dashboard.open(browser, origin, { ignoreHTTPSErrors: true,
  ...(who && { clientCertificates: [{ origin, ...authorities.pair(who) }] }) })
const signIn = page => page.getByRole('button', { name: 'Sign in with the certificate' })

test('who is named signs in with the certificate, and acts under its name', { timeout: 60000 }, async () => {
  const dashboard = await open('ada')
  const { page } = dashboard
  assert.deepEqual([await dashboard.barriers(), await dashboard.faint()].map(found => found.filter(what => !/nav|header/.test(what))), [[], []])
  await signIn(page).click()
  await page.waitForSelector('.verdict')
  await page.reload()
  await page.waitForSelector('.verdict')
  await page.getByRole('button', { name: 'Pause replication of main' }).click()
  await page.locator('dialog').getByRole('button', { name: 'Pause', exact: true }).click()
  await until(async () => await dashboard.cell('audit', 'admin.pause', 'By') === 'certificate CN=ada', 15000)
  assert.deepEqual([dashboard.faults, dashboard.outside], [[], []])
  await dashboard.close()
})

test('who is not named, or shows none, is told so', { timeout: 60000 }, async () => {
  for (const who of ['eve', null]) {
    const dashboard = await open(who)
    const { page } = dashboard
    await signIn(page).click()
    await page.waitForSelector('#why')
    assert.match(await page.innerText('#why'), /a certificate that is right/)
    await dashboard.close()
  }
})
