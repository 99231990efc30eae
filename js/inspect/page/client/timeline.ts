/** The counts of the last refreshes, as a picture: how many are suspended, and how many have changed since the one before. */

import { element, grouped } from './dom.ts'
import type { Moment } from './model.ts'

const SVG = 'http://www.w3.org/2000/svg'
const WIDTH = 1000
const HEIGHT = 180

interface Line {
  readonly name: string
  readonly class: string
  readonly of: (moment: Moment) => number
}

const LINES: readonly Line[] = [
  { name: 'suspended', class: 'line-suspended', of: ({ suspended }) => suspended },
  { name: 'unstarted', class: 'line-unstarted', of: ({ unstarted }) => unstarted },
]
const CHANGES: readonly Line[] = [
  { name: 'new, resumed or moved', class: 'line-changed', of: ({ changed }) => changed },
  { name: 'ended', class: 'line-ended', of: ({ ended }) => ended },
]

export function drawTimeline(box: HTMLElement, moments: readonly Moment[]): void {
  box.replaceChildren(chartOf('Greenlets', LINES, moments), chartOf('In each refresh', CHANGES, moments))
}

function chartOf(title: string, lines: readonly Line[], moments: readonly Moment[]): HTMLElement {
  const most = Math.max(1, ...moments.flatMap((moment) => lines.map(({ of }) => of(moment))))
  const picture = document.createElementNS(SVG, 'svg')
  picture.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`)
  picture.setAttribute('preserveAspectRatio', 'none')
  picture.setAttribute('role', 'img')
  const last = moments.at(-1)
  const [from, to] = [moments[0]?.time ?? 0, last?.time ?? 1]
  const said: string[] = []
  for (const { name, class: className, of } of lines) {
    const points = moments.map((moment) => {
      const x = to === from ? WIDTH : (WIDTH * (moment.time - from)) / (to - from)
      return `${x.toFixed(1)},${(HEIGHT - (HEIGHT - 4) * (of(moment) / most)).toFixed(1)}`
    })
    const line = document.createElementNS(SVG, 'polyline')
    line.setAttribute('points', points.join(' '))
    line.setAttribute('class', className)
    picture.append(line)
    said.push(`${name}: ${grouped(last === undefined ? 0 : of(last))}`)
  }
  picture.setAttribute('aria-label', `${title}: ${said.join(', ')}`)
  const seconds = Math.round((to - from) / 1000)
  const legend = lines.map(({ class: className }, i) => element('span', { class: `legend ${className}` }, said[i]))
  return element(
    'figure',
    {},
    element(
      'figcaption',
      {},
      element('strong', {}, title),
      ...legend,
      element('span', { class: 'soft' }, `at most ${grouped(most)}, last ${seconds} s`),
    ),
    picture as unknown as HTMLElement,
  )
}
