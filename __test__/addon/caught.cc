// A native add-on in C++ that calls JavaScript while a C++ exception is being handled, or is on its way to its `catch` block.
// Each function returns a number of which each bit is one thing that was wrong.

#include <exception>
#include <node_api.h>

namespace {

// What is thrown. Its destructor makes the number a wrong one.
struct Number {
  int value;
  explicit Number(int value) : value(value) {}
  Number(const Number &) = default;
  ~Number() { value = -1; }
};

enum Wrong {
  kDestroyed = 1,       // the exception in the handler is not the one that was thrown
  kRethrown = 2,        // `throw;` throws another one
  kCurrent = 4,         // std::current_exception() is another one
  kUncaught = 8,        // std::uncaught_exceptions() has another number
  kLeft = 16,           // an exception is left after the handlers
};

int count = 0;

napi_value argument(napi_env env, napi_callback_info info) {
  size_t length = 1;
  napi_value value;
  napi_get_cb_info(env, info, &length, &value, nullptr, nullptr);
  return value;
}

void call(napi_env env, napi_value fn) {
  napi_value undefined, result;
  napi_get_undefined(env, &undefined);
  napi_call_function(env, undefined, fn, 0, nullptr, &result);
}

napi_value number(napi_env env, int value) {
  napi_value result = nullptr;
  bool pending;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_create_int32(env, value, &result);
  return result;
}

int left(int wrong, int uncaught = 0) {
  if (std::uncaught_exceptions() != uncaught) wrong |= kUncaught;
  if (std::current_exception() != nullptr) wrong |= kLeft;
  return wrong;
}

// What is wrong with the exception `value` in its handler.
int check(const Number &caught, int value) {
  int wrong = 0;
  if (caught.value != value) wrong |= kDestroyed;
  if (std::uncaught_exceptions() != 0) wrong |= kUncaught;
  try {
    throw;
  } catch (const Number &again) {
    if (&again != &caught || again.value != value) wrong |= kRethrown;
  } catch (...) {
    wrong |= kRethrown;
  }
  try {
    std::rethrow_exception(std::current_exception());
  } catch (const Number &again) {
    if (again.value != value) wrong |= kCurrent;
  } catch (...) {
    wrong |= kCurrent;
  }
  return wrong;
}

napi_value in_catch(napi_env env, napi_callback_info info) {
  napi_value fn = argument(env, info);
  int value = ++count, wrong = 0;
  try {
    throw Number(value);
  } catch (const Number &caught) {
    call(env, fn);
    wrong = check(caught, value);
  }
  return number(env, left(wrong));
}

// Two handlers, one inside of the other.
napi_value in_two_catches(napi_env env, napi_callback_info info) {
  napi_value fn = argument(env, info);
  int outer_value = ++count, inner_value = ++count, wrong = 0;
  try {
    throw Number(outer_value);
  } catch (const Number &outer) {
    try {
      throw Number(inner_value);
    } catch (const Number &inner) {
      call(env, fn);
      wrong = check(inner, inner_value);
    }
    wrong |= check(outer, outer_value);
  }
  return number(env, left(wrong));
}

// The handler throws on what it caught, after the call.
napi_value rethrown(napi_env env, napi_callback_info info) {
  napi_value fn = argument(env, info);
  int value = ++count, wrong = 0;
  try {
    try {
      throw Number(value);
    } catch (const Number &) {
      call(env, fn);
      throw;
    }
  } catch (const Number &caught) {
    wrong = check(caught, value);
  } catch (...) {
    wrong = kRethrown;
  }
  return number(env, left(wrong));
}

struct CallsAtEnd {
  napi_env env;
  napi_value fn;
  int *wrong;
  ~CallsAtEnd() {
    call(env, fn);
    if (std::uncaught_exceptions() != 1) *wrong |= kUncaught;
  }
};

napi_value in_destructor(napi_env env, napi_callback_info info) {
  napi_value fn = argument(env, info);
  int value = ++count, wrong = 0;
  try {
    CallsAtEnd at_end{env, fn, &wrong};
    throw Number(value);
  } catch (const Number &caught) {
    wrong |= check(caught, value);
  }
  return number(env, left(wrong));
}

// Throws and catches after the call, as nearly all C++ does: nothing is held during it.
napi_value after(napi_env env, napi_callback_info info) {
  napi_value fn = argument(env, info);
  call(env, fn);
  int value = ++count, wrong = 0;
  try {
    throw Number(value);
  } catch (const Number &caught) {
    wrong = check(caught, value);
  }
  return number(env, left(wrong));
}

// What a stack sees that is inside of no handler.
napi_value none(napi_env env, napi_callback_info) { return number(env, left(0)); }

napi_value init(napi_env env, napi_value exports) {
  const struct {
    const char *name;
    napi_callback callback;
  } all[] = {{"inCatch", in_catch},           {"inTwoCatches", in_two_catches}, {"rethrown", rethrown},
             {"inDestructor", in_destructor}, {"after", after},                 {"none", none}};
  for (const auto &[name, callback] : all) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
  return exports;
}

}  // namespace

NAPI_MODULE(caught, init)
