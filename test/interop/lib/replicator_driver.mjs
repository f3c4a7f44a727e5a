// Speaks with build/test/support/replicator_driver: a program with the library in it, which replicates one core over TCP.
//
//   {do: "open", directory, key?}       a core that is written to, or that of a key in hexadecimal; joined       -> {key}
//   {do: "append", blocks: [text…]}
//   {do: "truncate", length}            on the next fork; others hear of it with the next append
//   {do: "download", from}              all from that block on, for good
//   {do: "seek", bytes}                 nothing while it is asked for                                            -> {block?, offset?}
//   {do: "listen"}                                                                                               -> {port}
//   {do: "allow", allowed}              whether peers may send blocks that were not asked for
//   {do: "push", block}                 sends a block to all peers that allow it
//   {do: "state"}                       -> {fork, length, held: [block…], blocks_received, blocks_sent}
import { LineDriver, driverAt } from './driver.mjs'

export class ReplicatorDriver extends LineDriver {
  static async of (scene, key) {
    const directory = scene.place()
    const driver = new ReplicatorDriver([driverAt('replicator')])
    scene.onEnd(() => driver.end())
    driver.key = (await driver.do('open', { directory, key })).key
    driver.port = (await driver.do('listen')).port
    return driver
  }
}
