// Who may publish, by policy; what SIGHUP changes of it, and what it refuses to.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Gateway } from '../lib/gateway.mjs'
import { Author, Client } from '../lib/client.mjs'
import { run, scratch, until } from '../lib/command.mjs'

const [admin, member, writer, stranger] = Array.from({ length: 4 }, () => new Author())
const refusals = { admin: 'restricted: only administrators may publish here', allow: 'restricted: this author may not write here', members: 'restricted: only members may publish here' }

async function reload (gateway) {
  const before = gateway.log.length
  gateway.child.kill('SIGHUP')
  await until(() => /reloaded|reload refused/.test(gateway.log.slice(before)))
  return gateway.log.slice(before)
}

// Which of the four may publish, and that the others hear why.
async function expect (client, refusal, ...allowed) {
  for (const author of [admin, member, writer, stranger]) {
    const answer = await client.publish(author.event({ content: `${Math.random()}` }))
    assert.deepEqual(answer, allowed.includes(author) ? [true, ''] : [false, refusal])
  }
}

test('each policy lets through whom it says, and SIGHUP goes over to the next', { timeout: 60000 }, async () => {
  const directory = await scratch(), config = join(directory, 'holdfast.conf'), members = join(directory, 'members')
  const settings = (...lines) => writeFile(config, ['[relay]', ...lines].join('\n') + '\n')
  await settings('policy = open')
  const gateway = await Gateway.start({ directory, args: ['--config', config] })
  const client = await Client.connect(gateway.url)
  try {
    await expect(client, '', admin, member, writer, stranger)

    await settings('policy = admin', `pubkey = ${admin.pubkey}`, `writers = ${writer.pubkey}`)
    assert.match(await reload(gateway), /reloaded/)
    await expect(client, refusals.admin, admin)
    const facts = await (await fetch(gateway.http + '/', { headers: { accept: 'application/nostr+json' } })).json()
    assert.equal(facts.limitation.restricted_writes, true)

    await settings(`pubkey = ${admin.pubkey}`, `writers = ${writer.pubkey}`)
    assert.match(await reload(gateway), /reloaded/)
    await expect(client, refusals.allow, admin, writer)

    await settings('policy = members', `admins = ${admin.pubkey}`, `members_file = ${members}`)
    await writeFile(members, `# the village\n${member.pubkey}  # Ada\n\n`)
    assert.match(await reload(gateway), /reloaded/)
    await expect(client, refusals.members, admin, member)

    await writeFile(members, JSON.stringify(admin.event({ kind: 30000, tags: [['d', 'members'], ['p', writer.pubkey], ['p', stranger.pubkey]] })))
    assert.match(await reload(gateway), /reloaded/)
    await expect(client, refusals.members, admin, writer, stranger)

    const forged = { ...admin.event({ kind: 30000, tags: [['p', member.pubkey]] }), sig: '0'.repeat(128) }
    for (const [text, reason] of [
      [JSON.stringify(member.event({ kind: 30000, tags: [['p', member.pubkey]] })), /not signed by an admin/], [JSON.stringify(forged), /not signed by an admin/],
      ['{"kind":', /cannot be used/], ['ada\n', /small hex digits/]
    ]) {
      await writeFile(members, text)
      assert.match(await reload(gateway), reason)
    }
    await rm(members)
    assert.match(await reload(gateway), /cannot be read/)
    await expect(client, refusals.members, admin, writer, stranger)
  } finally {
    client.close()
    await gateway.stop()
    await rm(directory, { recursive: true, force: true })
  }
})

test('a policy that there is not, or under which nobody could publish, keeps the gateway from starting', async () => {
  const data = await scratch()
  for (const [args, reason] of [[['--relay-policy', 'friends'], /open, admin, allow or members/], [['--relay-policy', 'admin'], /nobody who may publish/],
    [['--relay-policy', 'members', '--relay-members-file', '/nowhere/members'], /cannot be read/]]) {
    const { code, err } = await run(['gateway', '--data', join(data, 'data'), '--listen', '127.0.0.1:0', ...args])
    assert.notEqual(code, 0)
    assert.match(err, reason)
  }
  await rm(data, { recursive: true, force: true })
})
