//! The blocks of the output (draft-ietf-opsawg-pcapng), little endian, with nanoseconds.

use std::io::{self, Write};

use capture_reader::{OptionCode, Packet};

use super::interfaces::Described;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// Where an Enhanced Packet Block has its interface.
const INTERFACE_AT: usize = 8;

/// Writes a section's header, and the descriptions of its interfaces.
pub(super) fn put_section(
    application: &str,
    interfaces: &[Described],
    out: &mut impl Write,
) -> io::Result<()> {
    /// `shb_userappl`.
    const APPLICATION: u16 = 4;
    /// `if_name` and `if_tsresol`, with nanoseconds.
    const NAME: u16 = 2;
    const TIME_UNIT: u16 = 9;
    const NANOSECONDS: u8 = 9;
    let mut body = Vec::new();
    body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    // Version 1.0, of a length that is not said.
    body.extend_from_slice(&[1, 0, 0, 0]);
    body.extend_from_slice(&u64::MAX.to_le_bytes());
    put_option(APPLICATION, application.as_bytes(), &mut body);
    end_options(&mut body);
    put_block(SECTION, &body, out)?;
    for interface in interfaces {
        body.clear();
        body.extend_from_slice(&u32::from(interface.link_type).to_le_bytes());
        body.extend_from_slice(&interface.snap_length.to_le_bytes());
        if let Some(name) = &interface.name {
            put_option(NAME, name.as_bytes(), &mut body);
        }
        put_option(TIME_UNIT, &[NANOSECONDS], &mut body);
        end_options(&mut body);
        put_block(INTERFACE, &body, out)?;
    }
    Ok(())
}

/// Appends an Enhanced Packet Block.
pub(super) fn put_packet(
    packet: &Packet<'_>,
    interface: u32,
    comment: Option<&str>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let time = packet.time.max(0).cast_unsigned();
    let length = packet.bytes.len();
    let fields = [
        ENHANCED_PACKET,
        0,
        interface,
        (time >> 32) as u32,
        time as u32,
        length as u32,
        packet.wire_len,
    ];
    out.extend_from_slice(fields.map(u32::to_le_bytes).as_flattened());
    out.extend_from_slice(packet.bytes);
    pad(length, out);
    let options = out.len();
    if let Some(comment) = comment {
        put_option(OptionCode::COMMENT.0, comment.as_bytes(), out);
    }
    for (code, value) in packet.options {
        put_known(code, value, packet.options.is_big_endian(), out);
    }
    if out.len() > options {
        end_options(out);
    }
    let total = (out.len() - start + 4) as u32;
    out.extend_from_slice(&total.to_le_bytes());
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&total.to_le_bytes());
    }
}

/// Gives a packet's block the final number of its interface.
pub(super) fn renumber(block: &mut [u8], numbers: &[u32]) {
    let Some(place) = block
        .get_mut(INTERFACE_AT..)
        .and_then(<[u8]>::first_chunk_mut)
    else {
        return;
    };
    let preliminary = u32::from_le_bytes(*place);
    if let Some(number) = numbers.get(preliminary as usize) {
        *place = number.to_le_bytes();
    }
}

/// Appends an option of a packet whose meaning is known: in the output's byte order.
fn put_known(code: OptionCode, value: &[u8], is_big_endian: bool, out: &mut Vec<u8>) {
    let is_number = matches!(
        (code, value.len()),
        (OptionCode::FLAGS | OptionCode::QUEUE, 4)
            | (OptionCode::DROP_COUNT | OptionCode::PACKET_ID, 8)
    );
    if is_number {
        let mut number = value.to_vec();
        if is_big_endian {
            number.reverse();
        }
        put_option(code.0, &number, out);
    } else if code == OptionCode::COMMENT {
        put_option(code.0, value, out);
    }
}

fn put_option(code: u16, value: &[u8], out: &mut Vec<u8>) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(value.len(), out);
}

fn end_options(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

/// Appends what is missing to a multiple of four bytes.
fn pad(length: usize, out: &mut Vec<u8>) {
    let missing = length.next_multiple_of(4) - length;
    out.extend_from_slice(&[0; 4][..missing]);
}

fn put_block(kind: u32, body: &[u8], out: &mut impl Write) -> io::Result<()> {
    let total = (body.len() + 12) as u32;
    for part in [
        &kind.to_le_bytes()[..],
        &total.to_le_bytes(),
        body,
        &total.to_le_bytes(),
    ] {
        out.write_all(part)?;
    }
    Ok(())
}
