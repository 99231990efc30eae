// Run once in each environment, before its first greenlet. Anything that does not come out as it must is a reason to
// refuse: a wrong fact about V8 ends here, as a sentence.
;(function (native, mail) {
  'use strict'
  const START = -1
  const home = [mail[3], mail[4]]
  const problems = []
  let body, guest

  const check = (holds, what) => {
    if (!holds) problems.push(what)
  }
  // Nothing is taken apart or iterated: a program may have deleted what that calls.
  const go = (id) => {
    mail[0] = id[0]
    mail[1] = id[1]
    if (id[0] === START) native.start({}, undefined)
    else native.switch()
    check(mail[2] === 0, `a switch was refused with status ${mail[2]}`)
  }
  // Allocates until the collector has moved young objects; mail[5] counts collections.
  const collect = () => {
    const before = mail[5]
    let list
    for (let i = 0; i < 3e6 && mail[5] === before; i++) list = [list && i, { i }]
    check(mail[5] !== before, 'no garbage collection could be provoked')
  }
  const entry = () => {
    guest = [mail[3], mail[4]]
    try {
      body()
    } catch (error) {
      check(false, `an error left a greenlet: ${error}`)
    }
    mail[0] = home[0]
    mail[1] = home[1]
  }
  const run = () => {
    const young = { name: 'young' }
    body = () => {
      const own = [{ n: 42 }]
      const held = [1].map(function inPark() {
        const local = { n: 7 }
        go(home)
        return local
      })
      check(own[0].n === 42 && held[0].n === 7 && young.name === 'young', 'objects were lost while parked')
      collect()
      check(own[0].n === 42 && young.name === 'young', 'objects were lost while running')
      let caught
      try {
        ;(function inThrow() {
          go(home)
          throw young
        })()
      } catch (error) {
        caught = error
      }
      check(caught === young, 'an error thrown after a switch was not caught')
      let depth = 0
      const deeper = () => {
        depth++
        deeper()
      }
      try {
        deeper()
      } catch (error) {
        caught = error
      }
      check(caught instanceof RangeError && depth > 500, 'a stack overflow was not a RangeError')
    }
    go([START, 0])
    collect()
    const mine = { n: 1 }
    native.setCaptureRealm(check)
    mail[12] = guest[0]
    mail[13] = guest[1]
    check(native.capture() instanceof Error, 'a suspended stack could not be captured')
    check(native.scriptIds()?.length > 1, 'a captured stack is empty')
    go(guest)
    collect()
    go(guest)
    check(mine.n === 1, 'objects of main were lost')
    mail[12] = guest[0]
    mail[13] = guest[1]
    check(native.epoch() === -1, 'a finished greenlet did not end')
    return problems.join('; ')
  }
  return { entry, run }
})
