// The dashboard of a running gateway in Chromium, and what holds of every page: no script error, nothing from elsewhere, colours with enough
// contrast, names on everything that can be pressed.
import { chromium } from 'playwright-core'
import { until } from './command.mjs'

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
})

export class Dashboard {
  // token: in the address, as links have it; prepare: what is done to the page before it goes there.
  static async open (browser, origin, { token, prepare, width = 1280, height = 900, ...options } = {}) {
    const dashboard = new Dashboard()
    const context = await browser.newContext({ viewport: { width, height }, ...options })
    const page = dashboard.page = await context.newPage()
    dashboard.faults = []
    dashboard.outside = []
    page.on('pageerror', error => dashboard.faults.push(error.message))
    page.on('console', message => {
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) dashboard.faults.push(message.text())
    })
    page.on('request', request => { if (new URL(request.url()).origin !== origin) dashboard.outside.push(request.url()) })
    await prepare?.(page)
    await page.goto(`${origin}/dashboard${token ? `#token=${token}` : ''}`)
    if (token) await page.waitForSelector('.verdict')
    return dashboard
  }

  async close () {
    await this.page.context().close()
  }

  // What stands in a panel's table, in the row that has the text, under the heading; undefined when there is none.
  cell (panel, row, heading) {
    return this.page.evaluate(([panel, text, heading]) => {
      for (const table of document.querySelectorAll(`#${panel} table`)) {
        const index = [...table.querySelectorAll('thead th')].findIndex(cell => cell.textContent === heading)
        const row = [...table.querySelectorAll('tbody tr')].find(row => row.textContent.includes(text))
        if (index >= 0 && row) return (row.children[index].querySelector('.cell-value') ?? row.children[index]).innerText
      }
    }, [panel, row, heading])
  }

  async number (panel, row, heading) {
    return Number.parseFloat((await this.cell(panel, row, heading) ?? '').replaceAll(',', ''))
  }

  says (text, timeoutMs = 15000) {
    return until(async () => (await this.page.innerText('body')).includes(text), timeoutMs)
  }

  // Presses Tab until what has the focus is called so.
  async tabTo (name, presses = 120) {
    for (let i = 0; i < presses; i++) {
      await this.page.keyboard.press('Tab')
      const focused = await this.page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent)
      if (focused === name) return
    }
    throw new Error(`${presses} times Tab do not lead to "${name}"`)
  }

  // What reaches out of the page sideways.
  cutOff () {
    return this.page.evaluate(() => {
      const found = [...document.querySelectorAll('body *')].filter(element => !element.closest('.unseen, .skip, thead'))
        .filter(element => element.getBoundingClientRect().right > window.innerWidth || (element.matches('td, th, dd, p') && element.scrollWidth > element.clientWidth + 1))
        .map(element => element.outerHTML.slice(0, 150))
      return document.documentElement.scrollWidth > window.innerWidth ? ['the page scrolls sideways', ...found] : found
    })
  }

  // Texts that stand out too little from what is behind them, by WCAG 1.4.3: 4.5, large ones 3.
  faint () {
    return this.page.evaluate(() => {
      const numbers = colour => colour.match(/[\d.]+/g).map(Number)
      const luminance = ([r, g, b]) => [r, g, b].map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0)
      const behind = element => {
        for (; element; element = element.parentElement) {
          const colour = numbers(getComputedStyle(element).backgroundColor)
          if (colour.length === 3 || colour[3] === 1) return colour
        }
        return [255, 255, 255]
      }
      const found = []
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
      for (let text = texts.nextNode(); text; text = texts.nextNode()) {
        const element = text.parentElement
        const box = element.getBoundingClientRect()
        if (!text.data.trim() || box.width < 2 || element.closest('.unseen, .skip, button:disabled, noscript, option')) continue
        const style = getComputedStyle(element)
        const [dark, light] = [luminance(numbers(style.color)), luminance(behind(element))].sort((a, b) => a - b)
        const ratio = (light + 0.05) / (dark + 0.05)
        if (ratio < (Number.parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) found.push(`${text.data.trim()}: ${ratio.toFixed(2)}`)
      }
      return found
    })
  }

  // What a person who does not see the page, or has no mouse, would stumble over.
  barriers () {
    return this.page.evaluate(() => {
      const found = []
      const want = (holds, what) => { if (!holds) found.push(what) }
      const all = selector => [...document.querySelectorAll(selector)]
      const nameOf = element => element.getAttribute('aria-label')?.trim() || element.textContent.trim() ||
        [...element.labels ?? []].map(label => label.textContent.trim()).join('') || element.getAttribute('title')
      want(document.documentElement.lang, 'no language')
      want(document.title.trim(), 'no title')
      for (const [selector, count] of [['h1', 1], ['main', 1], ['body > div > header', 1], ['nav', 1]]) {
        want(all(selector).length === count, `${all(selector).length} of ${selector}`)
      }
      for (const element of all('button, a, input, select, summary, [role=img]')) want(nameOf(element), `no name: ${element.outerHTML.slice(0, 90)}`)
      for (const element of all('nav, section, dialog')) {
        want(element.getAttribute('aria-label') || element.getAttribute('aria-labelledby'), `no label: ${element.outerHTML.slice(0, 90)}`)
      }
      for (const element of all('[aria-labelledby], [aria-describedby]')) {
        for (const id of `${element.getAttribute('aria-labelledby') ?? ''} ${element.getAttribute('aria-describedby') ?? ''}`.trim().split(/\s+/)) {
          want(document.getElementById(id), `refers to nothing: ${id}`)
        }
      }
      const ids = all('[id]').map(element => element.id)
      want(new Set(ids).size === ids.length, 'an id twice')
      want(all('[tabindex]').every(element => element.tabIndex <= 0), 'a tabindex above 0')
      for (const table of all('table')) {
        want(table.caption?.textContent.trim(), 'a table without caption')
        want([...table.querySelectorAll('th')].every(cell => cell.scope), 'a heading without scope')
        want([...table.querySelectorAll('tbody tr')].every(row => row.querySelector('th')), 'a row without heading')
      }
      for (const picture of all('svg')) want(picture.getAttribute('aria-hidden') === 'true' || picture.getAttribute('aria-label'), 'a picture without words')
      const levels = all('h1, h2, h3, h4').filter(heading => !heading.closest('dialog')).map(heading => Number(heading.tagName[1]))
      want(levels[0] === 1 && levels.every((level, index) => index === 0 || level <= levels[index - 1] + 1), 'a level of headings left out')
      return found
    })
  }
}
