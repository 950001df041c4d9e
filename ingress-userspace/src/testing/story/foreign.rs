//! An XDP program that is not ours on a device: passes every packet, as a monitoring tool's would.
//!
//! Its object file is written here by hand, so that no other compiler is needed.

use aya::Ebpf;
use aya::programs::{Xdp, XdpMode};

use super::Host;

/// The name of the foreign program.
const NAME: &str = "monitor";
/// `r0 = XDP_PASS; exit`.
const PASS: [u8; 16] = [0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// Attached as long as it lives.
pub struct ForeignXdp {
    _program: Ebpf,
}

// === impl ForeignXdp ===

impl ForeignXdp {
    pub const NAME: &str = NAME;

    /// Attaches it to a device of a host, in the driver's mode.
    pub fn attach(host: &Host, device: &str) -> Self {
        host.run(|| {
            let mut object = Ebpf::load(&object()).unwrap();
            let program: &mut Xdp = object.program_mut(NAME).unwrap().try_into().unwrap();
            program.load().unwrap();
            program.attach(device, XdpMode::Driver).unwrap();
            Self { _program: object }
        })
    }
}

/// A relocatable ELF file with the program in section `xdp` and a symbol for it.
fn object() -> Vec<u8> {
    const HEADER: u64 = 64;
    let names = format!("\0xdp\0.symtab\0.strtab\0{NAME}\0").into_bytes();
    let symbol_name = u32::try_from(names.len() - NAME.len() - 1).unwrap();
    let mut symbols = vec![0_u8; 24];
    symbols.extend(symbol_name.to_le_bytes());
    // Global function in section 1.
    symbols.extend([0x12, 0, 1, 0]);
    symbols.extend(0_u64.to_le_bytes());
    symbols.extend((PASS.len() as u64).to_le_bytes());

    let program_at = HEADER;
    let symbols_at = program_at + PASS.len() as u64;
    let names_at = symbols_at + symbols.len() as u64;
    let sections_at = (names_at + names.len() as u64).next_multiple_of(8);

    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Relocatable, for BPF, version 1.
    file.extend([1, 0, 247, 0, 1, 0, 0, 0]);
    file.extend([0; 16]);
    file.extend(sections_at.to_le_bytes());
    file.extend([0; 4]);
    // Sizes of the headers; four section headers, the last is that of the names.
    for half in [HEADER as u16, 0, 0, 64, 4, 3] {
        file.extend(half.to_le_bytes());
    }
    file.extend(PASS);
    file.extend(&symbols);
    file.extend(&names);
    file.resize(usize::try_from(sections_at).unwrap(), 0);
    let (executable, allocated) = (4, 2);
    file.extend([0; 64]);
    file.extend(section(1, 1, executable | allocated, program_at, PASS.len(), [0, 0], 8, 0));
    file.extend(section(5, 2, 0, symbols_at, symbols.len(), [3, 1], 8, 24));
    file.extend(section(13, 3, 0, names_at, names.len(), [0, 0], 1, 0));
    file
}

#[expect(clippy::too_many_arguments, reason = "the fields of a section header")]
fn section(
    name: u32,
    kind: u32,
    flags: u64,
    offset: u64,
    size: usize,
    [link, info]: [u32; 2],
    align: u64,
    entry: u64,
) -> Vec<u8> {
    let mut header = Vec::with_capacity(64);
    header.extend(name.to_le_bytes());
    header.extend(kind.to_le_bytes());
    for field in [flags, 0, offset, size as u64] {
        header.extend(field.to_le_bytes());
    }
    header.extend(link.to_le_bytes());
    header.extend(info.to_le_bytes());
    header.extend(align.to_le_bytes());
    header.extend(entry.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::lab::Lab;
    use crate::testing::require_root;

    #[test]
    fn a_foreign_program_attaches_and_goes_with_its_value() {
        if !require_root() {
            return;
        }
        let mut lab = Lab::new();
        let (one, other) = (lab.host("one"), lab.host("other"));
        lab.link((&one, "eth0"), (&other, "eth0"));
        let program = ForeignXdp::attach(&one, "eth0");
        assert!(one.ip(&["-d", "link", "show", "dev", "eth0"]).contains(NAME));
        drop(program);
        assert!(!one.ip(&["-d", "link", "show", "dev", "eth0"]).contains(NAME));
    }
}
