// Speaks with build/test/support/core_driver, which does to cores of the program under test what it is told, without a process for each step.
//
// One JSON object a line goes in, one comes back. `core` is a number from 0 to 15, by which a core is known after it was opened; bytes are in
// hexadecimal unless said otherwise. What fails comes back with error ("HF_ENOTFOUND") and text.
//
//   {do: "open", core, seed?, key?, manifest?, compat?, encryption_key?}   with a seed: to be written to         -> {key}
//   {do: "append", core, blocks: [base64…]}      one commit
//   {do: "truncate", core, length, fork}
//   {do: "clear", core, start, end}
//   {do: "get", core, index, stored?}            stored: as it is in the tree, not decrypted                     -> {value: base64}
//   {do: "seek", core, bytes}                                                                                    -> {block, offset}
//                                                HF_EWAIT: {from, to}, where the answer lies
//   {do: "state", core}          -> {length, fork, byte_length, contiguous_length, tree_hash, signature, held: [[start, end]…]}
//   {do: "missing", core, index}                 ancestors of a block that are missing: `nodes` of a request     -> {count}
//   {do: "prove", core, request}                 the bodies of request and data messages of hypercore/alpha      -> {data}
//   {do: "put", core, data}                      judges and keeps what came                                      -> {grew}
//   {do: "fork", core, data}                     begins to go over to a higher fork, with a whole upgrade
//   {do: "feed", core, data}                     the next answer in that search
//                                                both -> {finished, ancestors}, or {finished, start, end, nodes}: what to ask for
//   {do: "bee_put", core, key, value?, sub?, if?, skip_same?}   and bee_del: into the batch; sub is a list of names, if the value to be found
//                                                -> {result: "HF_OK" | "HF_ECANCELED" | "HF_ENOTFOUND" | "HF_EDUPLICATE"}
//   {do: "bee_flush", core}      -> {version};   bee_abandon: gives the batch up
//   {do: "bee_view", core, view, version?}       keeps a snapshot, or a checkout, under a number from 0 to 7
//   {do: "bee_get", core, key, sub?, view?, pending?}                                                            -> {entry: [seq, key, value] or null}
//   {do: "bee_list", core, view?, sub?, gt?, gte?, lt?, lte?, reverse?, limit?}                                   -> {entries}
//   {do: "bee_diff", core, left?, right?, …}     views, and a range                                              -> {differences: [[left, right]…]}
//   {do: "bee_history", core, view?, gt?, …}     numbers                                                         -> {entries: [[seq, key, value, "del"?]…]}
//   {do: "drive_open", core, blobs, namespace?, encryption_key?}   the drive of a namespace; its cores get both places  -> {key, blobs_key}
//   {do: "drive_put", core, path, content, executable?, metadata?}  into the batch, as drive_link {path, target} and drive_del {path}
//   {do: "drive_flush", core};   drive_clear {path}
//   {do: "drive_list", core, folder, ignore?, shallow?, at?}       -> {entries: [[path, seq, value]…]}
//   {do: "drive_diff", core, folder, from, at?}                    versions                                       -> {differences: [[now, then]…]}
//   {do: "drive_get", core, path, start?, length?}                 links are followed -> {entry: [path, seq, value], null or "loop", content}
//   {do: "reopen"}                               closes everything, so that the disk alone tells; cores are opened again
import { driverAt, LineDriver } from './driver.mjs'

export class Driver extends LineDriver {
  constructor (directory) { super([driverAt('core'), directory]) }

  async do (name, core, rest = {}) { return super.do(name, { core, ...rest }) }
}
