// Server-sent events out of the text that they come in. (HTML, 9.2.6)

export interface Message { event: string, data: string }

// Takes text as it comes, and gives whole messages.
export class MessageReader {
  private rest = ''

  take (text: string): Message[] {
    this.rest += text.replaceAll('\r', '')
    const blocks = this.rest.split('\n\n')
    this.rest = blocks.pop()!
    return blocks.map(read).filter(message => message.data !== '')
  }
}

function read (block: string): Message {
  const message = { event: 'message', data: '' }
  for (const line of block.split('\n')) {
    const [, name, value] = /^([^:]+):? ?(.*)$/.exec(line) ?? []
    if (name === 'event') message.event = value!
    if (name === 'data') message.data += (message.data && '\n') + value!
  }
  return message
}
