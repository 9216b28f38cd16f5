//! Hands the board's memory map to the linker. `BOARD_MEMORY` names the script's folder.

fn main() {
    println!("cargo:rerun-if-env-changed=BOARD_MEMORY");
    println!("cargo:rerun-if-env-changed=BOARD_CASES");
    if let Ok(folder) = std::env::var("BOARD_MEMORY") {
        println!("cargo:rerun-if-changed={folder}");
        println!("cargo:rustc-link-search={folder}");
        println!("cargo:rustc-link-arg=-Tlink.x");
    }
    if let Ok(folder) = std::env::var("BOARD_CASES") {
        println!("cargo:rerun-if-changed={folder}");
    }
}
