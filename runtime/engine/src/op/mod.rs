//! One file an operator; every row of the format's table has one, or this does not compile.

use crate::cx::Cx;
use crate::error::{RunError, RunErrorKind};
use cygnet_format::Op;
pub use selection::{check_operators, operators};

mod axes;
mod geometry;
pub mod prepare;
mod quantization;
mod recurrent;
mod selection;
#[macro_use]
mod types;

macro_rules! modules {
    ($($name:ident $module:ident,)*) => {
        $(mod $module;)*

        /// Runs one step.
        pub(crate) fn dispatch(op: &Op, cx: &mut Cx<'_>) -> Result<(), RunError> {
            match op { $(Op::$name(op) => {
                if const { selection::includes(stringify!($module)) } {
                    $module::run(op, cx)
                } else {
                    Err(RunError::new(RunErrorKind::LeftOut, stringify!($module)))
                }
            })* }
        }
    };
}
cygnet_format::for_each_operator!(modules);
