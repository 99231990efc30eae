//! V8's own `stack` of an error, on Node 20, where it looks like a data property: whether an error has it, and giving it back to an
//! error that has another `stack` now. V8 keeps the text, or the frames until it makes the text, in the error either way.
//!
//! From Node 22 on `stack` is an accessor pair, of which JavaScript can take the getter, and nothing of this is there.

use std::ffi::c_void;
use std::ptr::null_mut;

use napi::sys;

use crate::v8::learn::layout::Layout;
use crate::v8::learn::symbols::{Local, find};

/// A `v8::Maybe<bool>`: whether there is a value, and the value.
#[repr(C)]
struct MaybeBool(bool, bool);

/// `Object::HasRealNamedCallbackProperty(context, key)`
type HasAccessor = unsafe extern "C" fn(Local, Local, Local) -> MaybeBool;
/// `Object::SetNativeDataProperty(context, name, getter, setter, data, attributes, getter_side_effect, setter_side_effect)`
type SetNative =
    unsafe extern "C" fn(Local, Local, Local, *mut c_void, *mut c_void, Local, i32, i32, i32) -> MaybeBool;

/// `PropertyAttribute::DontEnum` (v8-object.h).
const DONT_ENUM: i32 = 2;
/// `SideEffectType::kHasSideEffect` (v8-object.h).
const HAS_SIDE_EFFECT: i32 = 0;

/// V8's functions for this, with V8's getter of `stack`; none where V8 has no such getter.
#[derive(Clone, Copy)]
pub(crate) struct ErrorStack {
    getter: *mut c_void,
    has_accessor: HasAccessor,
    set_native: SetNative,
}

impl ErrorStack {
    pub(crate) fn find() -> Option<Self> {
        let getter = find(c"_ZN2v88internal9Accessors16ErrorStackGetterENS_5LocalINS_4NameEEERKNS_20PropertyCallbackInfoINS_5ValueEEE");
        let has =
            find(c"_ZN2v86Object28HasRealNamedCallbackPropertyENS_5LocalINS_7ContextEEENS1_INS_4NameEEE");
        let set = find(c"_ZN2v86Object21SetNativeDataPropertyENS_5LocalINS_7ContextEEENS1_INS_4NameEEEPFvS5_RKNS_20PropertyCallbackInfoINS_5ValueEEEEPFvS5_NS1_IS7_EERKNS6_IvEEESD_NS_17PropertyAttributeENS_14SideEffectTypeESK_");
        let (Ok(getter), Ok(has), Ok(set)) = (getter, has, set) else { return None };
        // SAFETY: the mangled names spell the parameter types; v8-object.h of V8 11.3, the only one with that getter, declares
        // `Maybe<bool>` as the result of both, two bools, which are returned in a register (System V and AAPCS64).
        unsafe {
            Some(ErrorStack {
                getter,
                has_accessor: std::mem::transmute::<*mut c_void, HasAccessor>(has),
                set_native: std::mem::transmute::<*mut c_void, SetNative>(set),
            })
        }
    }

    /// Whether `stack` of `object` itself is a property that V8 or native code reads. An accessor of JavaScript counts too.
    ///
    /// # Safety
    /// `env` is live, in a HandleScope of its thread, and `object` is a handle of an object that is no Proxy.
    pub(crate) unsafe fn is_native(self, v8: &Layout, object: sys::napi_value) -> bool {
        // SAFETY: the caller's promise. A napi_value is a Local (js_native_api_v8.h, `JsValueFromV8LocalValue`).
        unsafe {
            let context = (v8.symbols.current_context)(v8.isolate);
            let MaybeBool(known, is) = (self.has_accessor)(object.cast(), context, name(v8.env));
            known && is
        }
    }

    /// Makes `stack` of `object` what V8 makes it, without a setter. No effect where it cannot be changed.
    ///
    /// # Safety
    /// As for [`Self::is_native`].
    pub(crate) unsafe fn restore(self, v8: &Layout, object: sys::napi_value) {
        // SAFETY: the caller's promise. The getter has the type that `SetNativeDataProperty` takes (`AccessorNameGetterCallback`), is
        // what V8 itself calls for `stack`, and reads nothing but the object that has the property. Null stands for no setter and
        // for no data.
        unsafe {
            let context = (v8.symbols.current_context)(v8.isolate);
            let none = null_mut();
            let (key, effect) = (name(v8.env), HAS_SIDE_EFFECT);
            (self.set_native)(
                object.cast(),
                context,
                key,
                self.getter,
                none,
                none.cast(),
                DONT_ENUM,
                effect,
                effect,
            );
        }
    }
}

/// The string `stack`.
///
/// # Safety
/// As for [`ErrorStack::is_native`].
unsafe fn name(env: sys::napi_env) -> Local {
    let mut name = null_mut();
    // SAFETY: the caller's promise, and the length of the text.
    unsafe { sys::napi_create_string_latin1(env, c"stack".as_ptr(), 5, &mut name) };
    name.cast()
}
