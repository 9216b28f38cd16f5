//! One file an operator; every row of the format's table has one, or this does not compile.

use crate::cx::Cx;
use crate::error::RunError;
use cygnet_format::Op;

mod axes;
mod geometry;
mod quantization;
mod recurrent;
#[macro_use]
mod types;

macro_rules! modules {
    ($($name:ident $module:ident,)*) => {
        $(mod $module;)*

        /// Runs one step.
        pub(crate) fn dispatch(op: &Op, cx: &mut Cx<'_>) -> Result<(), RunError> {
            match op { $(Op::$name(op) => $module::run(op, cx),)* }
        }
    };
}
cygnet_format::for_each_operator!(modules);
