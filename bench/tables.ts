/** Results as text: a table for each Node for the terminal, one of all Nodes in Markdown for the README. */

import { compare, type Comparison, type Outcome, SECTIONS } from './comparisons.ts'
import type { NodeResult, Results } from './results.ts'

export function table({ node, v8, load, processes, times }: NodeResult): string {
  const lines = [`Node ${node} (V8 ${v8}), load ${load}, ns: the minimum and (median) of ${processes} processes`]
  for (const { title, note, comparisons } of SECTIONS) {
    lines.push('', title, ...wrapped(note, 110).map((line) => `  ${line}`))
    let last = ''
    for (const comparison of comparisons) {
      const { what, against } = comparison
      const outcome = compare(comparison, times)
      const ours = what === last ? '' : `${what.padEnd(28)} ${number(outcome.ours.min)} ${median(outcome.ours.median)}`
      const peer = `${against.padEnd(30)} ${number(outcome.peer.min)} ${median(outcome.peer.median)}`
      lines.push(
        `  ${ours.padEnd(49)}  ${multiple(outcome.ratio).padStart(7)} ${peer}  ${verdict(comparison, outcome)}`.trimEnd(),
      )
      last = what
    }
  }
  return lines.join('\n')
}

function verdict({ target }: Comparison, { met }: Outcome): string {
  return target === undefined ? '' : `${met ? 'met' : 'MISSED'}: at most ${target}x`
}

/** The telling comparisons: ratio, and what it is of. */
export function markdown({ nodes, machine, date }: Results): string {
  const telling = SECTIONS.flatMap(({ comparisons }) => comparisons).filter((comparison) => comparison.telling)
  const rows = telling.map((comparison) => {
    const cells = nodes.map(({ times }) => {
      const { ours, peer, ratio } = compare(comparison, times)
      return `${multiple(ratio)} (${short(ours.min)} : ${short(peer.min)})`
    })
    const target = comparison.target === undefined ? '' : `${comparison.target}x`
    return [code(comparison.what), code(comparison.against), ...cells, target]
  })
  const head = ['', 'against', ...nodes.map(({ node }) => `Node ${node}`), 'at most']
  const loads = nodes.map(({ load }) => load).join(', ')
  return [
    ...aligned([head, head.map(() => '---'), ...rows]),
    '',
    `Made on ${date.slice(0, 10)} on ${machine.cpu} (${machine.cores} cores, Linux ${machine.kernel}), load ${loads}. Ratios ` +
      'of minima, with the times in ns, or µs, in brackets; each row in many short batches that take turns in one process, in ' +
      `${nodes[0]?.processes} processes. What the rows do: \`make bench\`.`,
  ].join('\n')
}

/** As prettier would have it. */
function aligned(rows: string[][]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length), 3))
  return rows.map((row) => {
    const fill = row[0] === '---' ? '-' : ' '
    return `| ${row.map((cell, i) => cell.padEnd(widths[i]!, fill)).join(' | ')} |`
  })
}

/** Names of things in code are code. */
function code(name: string): string {
  return name.replaceAll(/\b(?:gr_stack(?:\.length)?|await\b|next\(\)|wait\(\)|new Error\(\)|error\.stack)/g, '`$&`')
}

function multiple(ratio: number): string {
  if (ratio < 0.1) return `1/${(1 / ratio).toFixed(0)}x`
  return `${ratio.toFixed(ratio < 10 ? 2 : 0)}x`
}

function number(ns: number): string {
  return ns.toFixed(ns < 100 ? 1 : 0).padStart(8)
}

function median(ns: number): string {
  return `(${ns.toFixed(ns < 100 ? 1 : 0)})`.padStart(11)
}

function short(ns: number): string {
  return ns < 10_000 ? ns.toFixed(0) : `${(ns / 1000).toFixed(0)} µs`
}

function wrapped(text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    if (`${lines.at(-1)} ${word}`.length > width) lines.push(word)
    else lines.push(`${lines.pop()} ${word}`.trim())
  }
  return lines
}
