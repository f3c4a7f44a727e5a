// Prometheus as Debian packages it, in a scratch directory, over gateways with metrics on ports of their own.
import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, until } from '../lib/command.mjs'

export const rulesPath = new URL('../../../monitoring/alerts.yml', import.meta.url).pathname

// The rules with their times cut short; what they ask and their bounds stay.
export const shortened = text => text.replace(/^(\s+for:) .*$/gm, '$1 300ms').replace(/\[(\d+)m\]/g, (_, minutes) => minutes >= 15 ? '[8s]' : '[3s]')

export class Prometheus {
  // targets: {name: port}.
  static async start (directory, targets) {
    const prometheus = new Prometheus()
    const port = await freePort()
    await writeFile(join(directory, 'rules.yml'), shortened(await readFile(rulesPath, 'utf8')))
    const scrapes = Object.entries(targets).map(([name, at]) => `      - {targets: ["127.0.0.1:${at}"], labels: {instance: "${name}"}}`)
    await writeFile(join(directory, 'prometheus.yml'), `global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}
rule_files: [rules.yml]
scrape_configs:
  - job_name: holdfast
    static_configs:
${scrapes.join('\n')}
`)
    prometheus.child = spawn('prometheus', ['--config.file', join(directory, 'prometheus.yml'), '--storage.tsdb.path', join(directory, 'tsdb'),
      '--web.listen-address', `127.0.0.1:${port}`, '--query.lookback-delta', '2s', '--log.level', 'warn'], { stdio: ['ignore', 'ignore', 'pipe'] })
    prometheus.log = ''
    prometheus.child.stderr.on('data', data => { prometheus.log += data })
    prometheus.exited = new Promise(resolve => prometheus.child.once('exit', resolve))
    prometheus.url = `http://127.0.0.1:${port}/api/v1/`
    await until(async () => (await fetch(prometheus.url.replace('api/v1/', '-/ready')).catch(() => null))?.ok, 20000)
    prometheus.firing = new Set()
    const all = String(Object.keys(targets).length)
    await until(async () => (await prometheus.ask('query', { query: 'sum(up)' })).data.result[0]?.value[1] === all, 20000)
    prometheus.watching = prometheus.watch()
    return prometheus
  }

  async watch () {
    while (!this.isEnding) {
      const { data } = await this.ask('alerts')
      const firing = data.alerts.filter(alert => alert.state === 'firing')
      this.firing = new Set(firing.map(({ labels }) => `${labels.alertname} ${labels.instance}`))
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }

  async ask (path, parameters = {}) {
    return (await fetch(`${this.url}${path}?${new URLSearchParams(parameters)}`)).json()
  }

  // Until the alert has fired for the target since the call; gives its labels. Prometheus remembers what this process was too busy to see.
  async fires (alert, name, timeoutMs = 25000) {
    const began = Date.now()
    const found = async () => {
      const series = `ALERTS{alertname="${alert}",instance="${name}",alertstate="firing"}[${Date.now() - began + 250}ms]`
      return (await this.ask('query', { query: `count_over_time(${series})` })).data.result[0]?.metric
    }
    return until(found, timeoutMs).catch(() => { throw new Error(`${alert} did not fire for ${name}; firing: ${[...this.firing]}`) })
  }

  async resolves (alert, name, timeoutMs = 25000) {
    await until(() => !this.firing.has(`${alert} ${name}`), timeoutMs).catch(() => { throw new Error(`${alert} did not end for ${name}`) })
  }

  async stop () {
    this.isEnding = true
    await this.watching
    this.child.kill('SIGTERM')
    await this.exited
  }
}
