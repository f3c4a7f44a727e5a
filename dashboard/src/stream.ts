// The stream, read with fetch because EventSource cannot say who asks.
import { MessageReader, type Message } from './messages'
import { ask, type Session } from './session'

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
