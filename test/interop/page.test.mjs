// The landing page in Chromium: it says what the relay is and where, without any outside resource or script error.
import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'
import { Gateway } from './lib/gateway.mjs'
import { Author } from './lib/client.mjs'

let gateway, browser
before(async () => {
  gateway = await Gateway.start()
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
  })
})
after(async () => { await browser?.close(); await gateway.stop() })

for (const colorScheme of ['light', 'dark']) {
  test(`the landing page, ${colorScheme}`, async () => {
    const page = await browser.newPage({ colorScheme, viewport: { width: 390, height: 800 } })
    const faults = []
    const outside = []
    page.on('pageerror', error => faults.push(error.message))
    page.on('console', message => { if (message.type() === 'error') faults.push(message.text()) })
    page.on('request', request => { if (!request.url().startsWith(gateway.http)) outside.push(request.url()) })
    await page.goto(gateway.http + '/')
    const text = await page.innerText('body')
    assert.match(await page.title(), /\S/)
    assert.ok(text.includes(gateway.url.replace(/\/$/, '')), 'the address is on the page')
    for (const nip of [1, 9, 11, 40, 42, 45, 70]) assert.match(text, new RegExp(`\\b0?${nip}\\b`))
    assert.ok(await page.locator('h1').count() === 1)
    assert.ok(await page.evaluate(() => document.documentElement.lang.length > 0))
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), 'no sideways scrolling on a phone')
    assert.deepEqual(outside, [])
    assert.deepEqual(faults, [])
    if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/landing-${colorScheme}.png` })
    await page.close()
  })
}

test('a browser publishes and reads over the WebSocket, compressed', async () => {
  const page = await browser.newPage()
  const event = new Author().event({ content: 'from Chromium '.repeat(100) })
  const messages = await page.evaluate(([url, event]) => new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    const got = []
    socket.onopen = () => socket.send(JSON.stringify(['EVENT', event]))
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data)
      got.push(message)
      if (message[0] === 'OK') socket.send(JSON.stringify(['REQ', 'page', { ids: [event.id] }]))
      if (message[0] === 'EOSE') resolve([socket.extensions, ...got])
    }
    socket.onerror = () => reject(new Error('the socket failed'))
  }), [gateway.url, event])
  assert.match(messages[0], /permessage-deflate/)
  assert.deepEqual(messages.find(m => m[0] === 'OK'), ['OK', event.id, true, ''])
  assert.deepEqual(messages.find(m => m[0] === 'EVENT')[2], JSON.parse(JSON.stringify(event)))
  await page.close()
})
