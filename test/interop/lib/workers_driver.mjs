// Speaks with build/test/support/workers_driver, a gateway's pool of workers: one JSON object a line goes in, one comes back.
//
//   {do: "start", bootstrap: "HOST:PORT,…", data, hypertuna?, blocks?, health_ms?, request_ms?} -> {key, bee}: the gateway's, and its bee's
//   {do: "open", worker, http?, method, path, relay, token?, body?} -> {stream};  send {stream, text};  close {stream}
//   {do: "ask", worker, method, path, body?};  frame {worker, text};  dismiss {worker}
//   {do: "events"} -> {events}: what happened since: connected, gone, telemetry, request, head, data, ended, reply
import assert from 'node:assert/strict'
import { driverAt, LineDriver } from './driver.mjs'

export class WorkersDriver extends LineDriver {
  static async start (options) {
    const driver = new WorkersDriver([driverAt('workers')])
    driver.seen = []
    Object.assign(driver, await driver.do('start', options))
    return driver
  }

  // The first event that is as wanted, of those that nobody has taken yet.
  async event (name, wanted = () => true, timeout = 30000) {
    const start = Date.now()
    for (;;) {
      this.seen.push(...(await this.do('events')).events)
      const at = this.seen.findIndex(event => event.event === name && wanted(event))
      if (at >= 0) return this.seen.splice(at, 1)[0]
      assert.ok(Date.now() - start < timeout, `no ${name}: ${JSON.stringify(this.seen)}`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}
