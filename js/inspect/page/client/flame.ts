/**
 * All stacks in one picture: the outermost frames on top, each as wide as the number of greenlets that are below it.
 */

import type { GreenletData } from '../../../dump/data.ts'
import { element, grouped } from './dom.ts'
import type { Model } from './model.ts'

interface FlameNode {
  readonly text: string
  count: number
  readonly children: Map<string, FlameNode>
}

/** Narrower ones are not drawn; a part of the width. */
const NARROWEST = 0.002
const MOST_LEVELS = 200

export function treeOf(model: Model, greenlets: readonly GreenletData[]): FlameNode {
  const root: FlameNode = { text: 'all', count: 0, children: new Map() }
  for (const { stack, greenlets: sharing } of model.groups(greenlets)) {
    const count = sharing.length
    root.count += count
    let node = root
    for (const { text } of stack.frames.toReversed().slice(0, MOST_LEVELS)) {
      let child = node.children.get(text)
      if (child === undefined) node.children.set(text, (child = { text, count: 0, children: new Map() }))
      child.count += count
      node = child
    }
  }
  return root
}

/** Draws it; a click on a frame makes that frame as wide as the picture. */
export function drawFlame(box: HTMLElement, root: FlameNode, onSearch: (text: string) => void): void {
  const draw = (top: FlameNode, path: readonly FlameNode[]): void => {
    const rows: HTMLElement[] = path.map((node) =>
      flameRow([frameOf(node, 0, 1, root.count, () => draw(node, path.slice(0, path.indexOf(node))))]),
    )
    let level: { node: FlameNode; left: number; width: number; path: readonly FlameNode[] }[] = [
      { node: top, left: 0, width: 1, path },
    ]
    while (level.length > 0 && rows.length < MOST_LEVELS) {
      rows.push(
        flameRow(
          level.map(({ node, left, width, path }) =>
            frameOf(node, left, width, root.count, (event) => (event.altKey ? onSearch(node.text) : draw(node, path))),
          ),
        ),
      )
      const next: typeof level = []
      for (const { node, left, width, path } of level) {
        let at = left
        for (const child of [...node.children.values()].toSorted((a, b) => b.count - a.count)) {
          const share = (width * child.count) / node.count
          if (share >= NARROWEST) next.push({ node: child, left: at, width: share, path: [...path, node] })
          at += share
        }
      }
      level = next
    }
    box.replaceChildren(...rows)
  }
  if (root.count === 0) box.replaceChildren(element('p', { class: 'empty' }, 'No greenlet is suspended.'))
  else draw(root, [])
}

function flameRow(frames: HTMLElement[]): HTMLElement {
  return element('div', { class: 'flame-row' }, ...frames)
}

function frameOf(
  node: FlameNode,
  left: number,
  width: number,
  all: number,
  click: (event: MouseEvent) => void,
): HTMLElement {
  const share = ((100 * node.count) / all).toFixed(node.count === all ? 0 : 1)
  const label = `${node.text}: ${grouped(node.count)} greenlet${node.count === 1 ? '' : 's'}, ${share} %`
  const frame = element('button', { class: 'flame', title: label, type: 'button' }, node.text)
  frame.setAttribute('aria-label', label)
  frame.style.left = `${left * 100}%`
  frame.style.width = `${width * 100}%`
  frame.style.setProperty('--hue', String(hueOf(node.text)))
  frame.addEventListener('click', click)
  return frame
}

/** The same text has the same colour in each picture. */
function hueOf(text: string): number {
  let hash = 0
  for (let i = 0; i < text.length; i++) hash = (hash * 31 + text.charCodeAt(i)) | 0
  return (hash >>> 0) % 60
}
