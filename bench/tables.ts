/** Results as text: a table for each Node for the terminal, and one of all Nodes in Markdown for docs/performance.md. */

import { compare, type Comparison, type Outcome, SECTIONS, targetFor, type Unit } from './comparisons.ts'
import type { NodeResult, Results } from './results.ts'

export function table({ node, v8, load, processes, times }: NodeResult): string {
  const major = Number.parseInt(node)
  const lines = [`Node ${node} (V8 ${v8}), load ${load}: the minimum and (median) of ${processes} processes`]
  for (const { title, note, unit, comparisons } of SECTIONS) {
    lines.push('', `${title}, ${unit}`, ...wrapped(note, 110).map((line) => `  ${line}`))
    let last = ''
    for (const comparison of comparisons) {
      const { what, against = '' } = comparison
      const outcome = compare(comparison, times, major)
      if (outcome === undefined) {
        lines.push(`  ${what.padEnd(34)} ${'not measured'.padStart(20)}`)
        continue
      }
      const { ours: mine, peer: other, ratio } = outcome
      const ours = what === last ? '' : `${what.padEnd(34)} ${number(mine.min)} ${median(mine.median)}`
      const peer = other && `${against.padEnd(42)} ${number(other.min)} ${median(other.median)}`
      const factor = ratio === undefined ? '' : multiple(ratio)
      lines.push(
        `  ${ours.padEnd(57)}  ${factor.padStart(7)} ${(peer ?? '').padEnd(64)}  ${verdict(comparison, outcome, unit, major)}`.trimEnd(),
      )
      last = what
    }
  }
  return lines.join('\n')
}

function verdict(comparison: Comparison, { met }: Outcome, unit: Unit, node: number): string {
  return met === undefined ? '' : `${met ? 'met' : 'MISSED'}: at most ${bounds(comparison, unit, node)}`
}

function bounds(comparison: Comparison, unit: Unit, node: number): string {
  const target = targetFor(comparison, node)
  const { limit } = comparison
  return [target !== undefined && `${target}x`, limit !== undefined && short(limit, unit, true)]
    .filter(Boolean)
    .join(', ')
}

/** The comparisons for docs/performance.md: the ratio, and the times that it is of. */
export function markdown({ nodes, machine, date, peers }: Results): string {
  const rows = SECTIONS.flatMap(({ comparisons, unit }) =>
    comparisons
      .filter((comparison) => comparison.inTable)
      .map((comparison) => {
        const cells = nodes.map(({ node, times }) => cell(compare(comparison, times, Number.parseInt(node)), unit))
        const { target, limit, upTo } = comparison
        const asked = target === undefined && limit === undefined ? '' : bounds(comparison, unit, upTo ?? 0)
        const until = upTo === undefined ? '' : `, Node ${upTo}`
        return [code(comparison.what), code(comparison.against ?? ''), ...cells, asked && `${asked}${until}`]
      }),
  )
  const head = ['', 'against', ...nodes.map(({ node }) => `Node ${node}`), 'at most']
  const loads = nodes.map(({ load }) => load).join(', ')
  return [
    ...aligned([head, head.map(() => '---'), ...rows]),
    '',
    `Made on ${date.slice(0, 10)} on ${machine.cpu} (${machine.cores} cores, Linux ${machine.kernel}), load ${loads}; ${peers}. ` +
      'Each cell is a ratio of best times; the times are in brackets, in ns where no unit is given. The rows of one process take turns in many short batches, in ' +
      `${nodes[0]?.processes} processes; the other tools run between them. Bold marks a missed target. \`make bench\` says what each row does; ` +
      '[internals](internals/performance.md) says why targets are missed.',
  ].join('\n')
}

function cell(outcome: Outcome | undefined, unit: Unit): string {
  if (outcome === undefined) return 'not measured'
  const { ours, peer, ratio, met } = outcome
  const [mine, other] = [ours, peer].map((figure) => figure && short(figure.min, unit))
  const text = ratio === undefined ? mine! : `${multiple(ratio)} (${mine} : ${other})`
  return met === false ? `**${text}**` : text
}

/** The format of prettier. */
function aligned(rows: string[][]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length), 3))
  return rows.map((row) => {
    const fill = row[0] === '---' ? '-' : ' '
    return `| ${row.map((cell, i) => cell.padEnd(widths[i]!, fill)).join(' | ')} |`
  })
}

/** Marks the names of things in code as code. */
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

/** Short form, with the unit if the table does not have it, or if it is not the usual one. */
function short(value: number, unit: Unit, always = false): string {
  if (unit === 'bytes') return `${value.toFixed(0)}${always ? ' bytes' : ' B'}`
  if (value < 10_000) return `${value.toFixed(0)}${always ? ' ns' : ''}`
  return value < 1e7 ? `${(value / 1000).toFixed(0)} µs` : `${(value / 1e6).toFixed(0)} ms`
}

function wrapped(text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    if (`${lines.at(-1)} ${word}`.length > width) lines.push(word)
    else lines.push(`${lines.pop()} ${word}`.trim())
  }
  return lines
}
