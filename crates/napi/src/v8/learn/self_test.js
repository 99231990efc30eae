// The self-test. It runs once in each environment, before the first greenlet. Each result that is not the expected one is a
// reason to refuse: where a fact about V8 is wrong, the program gets a sentence instead of a crash.
;(function (native, mail) {
  'use strict'
  const START = -1
  const mainId = [mail[3], mail[4]]
  let problems = ''
  let body, greenletId

  const check = (holds, problem) => {
    if (!holds) problems += problems === '' ? problem : `; ${problem}`
  }
  // No destructuring and no iteration here: a program may have deleted the methods that they call.
  const switchTo = (id) => {
    mail[0] = id[0]
    mail[1] = id[1]
    if (id[0] === START) native.start({}, undefined)
    else native.switch()
    check(mail[2] === 0, `a switch was refused with status ${mail[2]}`)
  }
  // Allocates until the collector has moved young objects. mail[5] counts collections.
  const collect = () => {
    const before = mail[5]
    let list
    for (let i = 0; i < 3e6 && mail[5] === before; i++) list = [list && i, { i }]
    check(mail[5] !== before, 'no garbage collection could be provoked')
  }
  const entry = () => {
    greenletId = [mail[3], mail[4]]
    try {
      body()
    } catch (error) {
      check(false, `an error left a greenlet: ${error}`)
    }
    mail[0] = mainId[0]
    mail[1] = mainId[1]
  }
  const run = () => {
    const young = { name: 'young' }
    body = () => {
      const own = [{ n: 42 }]
      const mapped = [1].map(function whileParked() {
        const local = { n: 7 }
        switchTo(mainId)
        return local
      })
      check(own[0].n === 42 && mapped[0].n === 7 && young.name === 'young', 'objects were lost while parked')
      collect()
      check(own[0].n === 42 && young.name === 'young', 'objects were lost while running')
      let caught
      try {
        ;(function throwAfterSwitch() {
          switchTo(mainId)
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
    switchTo([START, 0])
    collect()
    const ofMain = { n: 1 }
    native.setCaptureRealm(check)
    mail[12] = greenletId[0]
    mail[13] = greenletId[1]
    check(native.capture() instanceof Error, 'a suspended stack could not be captured')
    check(native.scriptIds()?.length > 1, 'a captured stack is empty')
    switchTo(greenletId)
    collect()
    switchTo(greenletId)
    check(ofMain.n === 1, 'objects of main were lost')
    mail[12] = greenletId[0]
    mail[13] = greenletId[1]
    check(native.epoch() === -1, 'a finished greenlet did not end')
    return problems
  }
  return { entry, run }
})
