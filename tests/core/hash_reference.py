"""The hash of docs/FORMAT.md once more, in whole numbers of any size and without a look at the C.

Run it to print the known answers that stand in test_hash.c.
"""

WORD = (1 << 64) - 1
K = [
    0x243F6A8885A308D3,
    0x13198A2E03707345,
    0xA4093822299F31D1,
    0x082EFA98EC4E6C89,
    0x452821E638D01377,
]
CHECKSUM_BLOCK = 65536


def fold(left, right):
    product = left * right
    return product & WORD ^ product >> 64


def rotate(word, bits):
    return (word << bits | word >> (64 - bits)) & WORD


def hash_bytes(data, seed=0):
    def number(start, size=8):
        return int.from_bytes(data[start : start + size], "little")

    size = len(data)
    state = seed ^ K[0]
    at = 0
    if size > 64:
        chains = [state, state ^ K[2], state ^ K[3], state ^ K[4]]
        while size - at > 64:
            for i in range(4):
                chains[i] = fold(
                    number(at + 16 * i) ^ K[1 + i], number(at + 16 * i + 8) ^ chains[i]
                )
            at += 64
        a, b, c, d = chains
        state = a ^ rotate(b, 17) ^ rotate(c, 31) ^ rotate(d, 47)
    while size - at > 16:
        state = fold(number(at) ^ K[2], number(at + 8) ^ state)
        at += 16
    if size >= 8:
        low, high = number(max(0, size - 16)), number(size - 8)
    elif size >= 4:
        low, high = number(0, 4), number(size - 4, 4)
    elif size > 0:
        low, high = data[0] << 16 | data[size // 2] << 8 | data[size - 1], 0
    else:
        low = high = 0
    return fold(K[3] ^ size, fold(low ^ K[1], high ^ state) ^ K[4])


def checksum(data):
    """Of a snapshot's bytes behind the header."""
    state = 0
    for start in range(0, len(data), CHECKSUM_BLOCK):
        state = hash_bytes(data[start : start + CHECKSUM_BLOCK], state)
    return state


# Around every place where the hash takes another way.
SIZES = "0 1 2 3 4 5 7 8 9 15 16 17 31 32 33 48 63 64 65 80 81 127 128 129 200 1000 65536"
SEEDS = [0, 1, 0xFEDCBA9876543210]


def main():
    for size in map(int, SIZES.split()):
        data = bytes((i * 37 + 11) % 256 for i in range(size))
        answers = ", ".join(f"0x{hash_bytes(data, seed):016X}" for seed in SEEDS)
        print(f"    {{{size}, {{{answers}}}}},")


if __name__ == "__main__":
    main()
