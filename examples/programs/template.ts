/**
 * A template helper that asks a service. The template engine is synchronous and knows nothing of greenlets: `String.replace` calls
 * the helper, which waits, while other pages are rendered.
 */

import { spawn } from '../../js/index.ts'
import { priceOf } from './service.ts'

const HELPERS: Readonly<Record<string, (argument: string) => string>> = {
  upper: (text) => text.toUpperCase(),
  price: (item) => `${priceOf(item)} €`,
}

/** Replaces each `{{helper argument}}`. */
function render(template: string): string {
  return template.replaceAll(/\{\{(\w+) (\w+)\}\}/g, (_, helper: string, argument: string) =>
    HELPERS[helper]!(argument),
  )
}

const pages = ['{{upper pen}}: {{price pen}}', '{{upper book}}: {{price book}}, with {{upper ink}}: {{price ink}}']
const texts = await Promise.all(pages.map((page) => spawn(render, page)))
console.log(texts.join('\n'))

// An error in the helper comes out of render(), with both in its stack.
const { message, stack } = (await spawn(render, '{{price moon}}').then(undefined, (error: unknown) => error)) as Error
console.log(message, /at priceOf [^]*at render /.test(stack!))
