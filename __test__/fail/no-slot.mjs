// More greenlets are suspended than there are stacks, and their stacks must stay where they are.

process.env.GREENLETS_SPILL = 'never'
process.env.GREENLETS_SLOTS = '4'
const { Greenlet } = await import('../../js/index.ts')

function leak() {
  return Greenlet.main.switch()
}
const all = []
for (;;) {
  all.push(new Greenlet(leak))
  all.at(-1).switch()
}
