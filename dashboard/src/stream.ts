// Server-sent events, read with fetch because EventSource cannot say who asks.
import { ask, type Session } from './session'

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

// Resolves when the stream ends.
export async function follow (session: Session, onMessage: (message: Message) => void, signal: AbortSignal): Promise<void> {
  const answer = await ask(session, 'events', undefined, signal)
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  const messages = new MessageReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    messages.take(value).forEach(onMessage)
  }
}
