// Makes checks of the comments of a program that tell a value:
//
//   g.switch(10) // 10                       the value; text after a comma is prose
//   wait(promise) // throws ERR_GREENLET_X   the code of an error, or its class
//   console.log(x) // text                   what it prints; also comments on the lines below, `...` stands for any text
//
// The checks are calls of functions that preload.mjs defines. They stand on the same lines, so stacks have the same lines.

import ts from 'typescript'

export interface Expectation {
  readonly line: number
  readonly kind: 'is' | 'throws' | 'shows'
  readonly text: string
}

export interface Checked {
  readonly code: string
  readonly expectations: readonly Expectation[]
}

/** Text that is put into the program at an offset. */
interface Insertion {
  readonly at: number
  readonly text: string
}

export function withChecks(code: string): Checked {
  const source = ts.createSourceFile('block.ts', code, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS)
  const expectations: Expectation[] = []
  const insertions: Insertion[] = []
  const add = (node: ts.Node, kind: Expectation['kind'], text: string): number =>
    expectations.push({ line: source.getLineAndCharacterOfPosition(node.getStart()).line + 1, kind, text }) - 1
  const put = (at: number, text: string) => insertions.push({ at, text })

  const visit = (node: ts.Node): void => {
    if (isConsoleLog(node)) {
      const expected = printed(code, node.getEnd())
      if (expected !== undefined) {
        put(node.arguments.pos, `...__docs.shows(${add(node, 'shows', expected)}, `)
        put(node.arguments.end, ')')
      }
    } else if (ts.isExpressionStatement(node) || ts.isVariableStatement(node)) {
      const comment = commentAfter(code, node.getEnd())
      const thrown = /^throws (?:an? )?(\w+)/.exec(comment ?? '')?.[1]
      const value = comment === undefined || thrown !== undefined ? undefined : literalIn(comment)
      if (thrown !== undefined) {
        put(node.getStart(), '{ let __e; try { ')
        put(node.getEnd(), ` } catch (e) { __e = [e] } __docs.throws(${add(node, 'throws', thrown)}, __e) }`)
      } else if (value !== undefined && !printsAtEnd(code, node)) {
        if (ts.isExpressionStatement(node)) {
          put(node.expression.getStart(), `;__docs.is(${add(node, 'is', value)}, `)
          put(node.expression.getEnd(), `, (${value}))`)
        } else {
          const [declaration] = node.declarationList.declarations
          put(node.getEnd(), `;__docs.is(${add(node, 'is', value)}, ${declaration!.name.getText()}, (${value}))`)
        }
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  const checked = insertions
    .toSorted((a, b) => b.at - a.at)
    .reduce((text, { at, text: inserted }) => text.slice(0, at) + inserted + text.slice(at), code)
  return { code: checked, expectations }
}

function isConsoleLog(node: ts.Node): node is ts.CallExpression {
  return ts.isCallExpression(node) && node.expression.getText() === 'console.log' && node.arguments.length > 0
}

/** Whether the comment behind a statement is that of a call of `console.log` inside of it. */
function printsAtEnd(code: string, node: ts.Node): boolean {
  if (isConsoleLog(node) && commentAfter(code, node.getEnd()) !== undefined) return true
  return ts.forEachChild(node, (child) => printsAtEnd(code, child)) ?? false
}

/** The comment at the end of the line, where only brackets stand between. */
function commentAfter(code: string, end: number): string | undefined {
  return /^[)\]};,]* *\/\/ ?([^\n]*)/.exec(code.slice(end))?.[1]
}

/** What a call of `console.log` is said to print. */
function printed(code: string, end: number): string | undefined {
  const beside = commentAfter(code, end)
  const below = /^[^\n]*\n((?: *\/\/[^\n]*\n?)+)/.exec(code.slice(end))?.[1]
  const lines = below?.trimEnd().split('\n') ?? []
  const texts = [...(beside === undefined ? [] : [beside]), ...lines.map((line) => line.replace(/^ *\/\/ ?/, ''))]
  return texts.length === 0 ? undefined : texts.join('\n')
}

/** The literal at the beginning of a comment; undefined where it is prose. */
function literalIn(comment: string): string | undefined {
  const ends = [comment.length, ...[...comment.matchAll(/[,;:.] /g)].map(({ index }) => index).toReversed()]
  return ends.map((end) => comment.slice(0, end).trim()).find(isLiteral)
}

function isLiteral(text: string): boolean {
  const source = ts.createSourceFile('literal.ts', `(${text})`, ts.ScriptTarget.Latest, true) as ts.SourceFile & {
    readonly parseDiagnostics: readonly unknown[]
  }
  const [statement, second] = source.statements
  if (source.parseDiagnostics.length > 0 || second !== undefined || statement === undefined) return false
  return ts.isExpressionStatement(statement) && isLiteralNode(statement.expression)
}

function isLiteralNode(node: ts.Expression): boolean {
  if (ts.isParenthesizedExpression(node)) return isLiteralNode(node.expression)
  if (ts.isPrefixUnaryExpression(node)) return isLiteralNode(node.operand)
  if (ts.isArrayLiteralExpression(node)) return node.elements.every(isLiteralNode)
  if (ts.isObjectLiteralExpression(node)) {
    return node.properties.every((property) => ts.isPropertyAssignment(property) && isLiteralNode(property.initializer))
  }
  if (ts.isIdentifier(node)) return ['undefined', 'NaN', 'Infinity'].includes(node.text)
  const { NullKeyword, TrueKeyword, FalseKeyword } = ts.SyntaxKind
  return ts.isLiteralExpression(node) || [NullKeyword, TrueKeyword, FalseKeyword].includes(node.kind)
}
