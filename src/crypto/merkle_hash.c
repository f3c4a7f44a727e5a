/* Most of what is hashed fits one BLAKE2b block: parents do, and leaves up to 119 bytes. Those are put together on the stack and
 * compressed once. */
#include "crypto/merkle_hash.h"

#include "crypto/namespace.h"

enum { TYPE_LEAF = 0, TYPE_PARENT = 1, TYPE_ROOTS = 2 };

#define HEAD_BYTES 9u /* type and size */
#define TOGETHER_BYTES_MIN 1024u /* blocks from here on are hashed side by side */

/* Hashes that have taken equally many bytes, and of which blocks they are. */
struct group {
	struct hf_blake2b hashes[HF_LEAVES_TOGETHER];
	size_t blocks[HF_LEAVES_TOGETHER];
};

static const struct hf_slice no_key;

static void put_head(uint8_t *out, uint8_t type, uint64_t size)
{
	out[0] = type;
	hf_store_le64(out + 1, size);
}

void hf_leaf_hash(uint8_t out[static HF_MERKLE_HASH_BYTES], const struct iovec *pieces, size_t count)
{
	struct hf_blake2b hash;
	uint8_t block[HF_BLAKE2B_BLOCK_BYTES];
	size_t size = 0, at = HEAD_BYTES;

	for (size_t i = 0; i < count; i++)
		size += pieces[i].iov_len;
	put_head(block, TYPE_LEAF, size);
	if (size <= sizeof block - HEAD_BYTES) {
		for (size_t i = 0; i < count; at += pieces[i++].iov_len)
			if (pieces[i].iov_len > 0)
				memcpy(block + at, pieces[i].iov_base, pieces[i].iov_len);
		memset(block + at, 0, sizeof block - at);
		hf_blake2b_256_block(out, block, at);
		return;
	}
	hf_blake2b_init(&hash, HF_MERKLE_HASH_BYTES, no_key);
	hf_blake2b_update(&hash, block, HEAD_BYTES);
	for (size_t i = 0; i < count; i++)
		hf_blake2b_update(&hash, pieces[i].iov_base, pieces[i].iov_len);
	hf_blake2b_final(&hash, out, HF_MERKLE_HASH_BYTES);
}

/* Those that are as long as what all have taken are done; the others go on. Gives how many do. */
static size_t take_out_done(struct group *group, uint8_t (*out)[HF_MERKLE_HASH_BYTES], const struct hf_slice *blocks, size_t count,
	size_t taken)
{
	size_t left = 0;

	for (size_t i = 0; i < count; i++) {
		size_t block = group->blocks[i];

		if (blocks[block].length == taken) {
			hf_blake2b_final(&group->hashes[i], out[block], HF_MERKLE_HASH_BYTES);
			continue;
		}
		group->hashes[left] = group->hashes[i];
		group->blocks[left++] = block;
	}
	return left;
}

static void hash_group(uint8_t (*out)[HF_MERKLE_HASH_BYTES], const struct hf_slice *blocks, size_t count)
{
	const uint8_t *data[HF_LEAVES_TOGETHER];
	uint8_t head[HEAD_BYTES];
	struct group group;
	size_t taken = 0;

	for (size_t i = 0; i < count; i++) {
		put_head(head, TYPE_LEAF, blocks[i].length);
		hf_blake2b_init(&group.hashes[i], HF_MERKLE_HASH_BYTES, no_key);
		hf_blake2b_update(&group.hashes[i], head, sizeof head);
		group.blocks[i] = i;
	}
	while (count > 0) {
		size_t until = SIZE_MAX;

		for (size_t i = 0; i < count; i++) {
			data[i] = blocks[group.blocks[i]].data + taken;
			until = blocks[group.blocks[i]].length < until ? blocks[group.blocks[i]].length : until;
		}
		hf_blake2b_update_many(group.hashes, data, count, until - taken);
		taken = until;
		count = take_out_done(&group, out, blocks, count, taken);
	}
}

void hf_leaf_hashes(uint8_t (*out)[HF_MERKLE_HASH_BYTES], const struct hf_slice *blocks, size_t count)
{
	for (size_t i = 0; i < count;) {
		struct iovec piece = {(void *)(uintptr_t)blocks[i].data, blocks[i].length};
		size_t together = 0;

		while (together < HF_LEAVES_TOGETHER && i + together < count && blocks[i + together].length >= TOGETHER_BYTES_MIN)
			together++;
		if (together > 1)
			hash_group(out + i, blocks + i, together);
		else
			hf_leaf_hash(out[i], &piece, 1);
		i += together > 1 ? together : 1;
	}
}

void hf_parent_hash(uint8_t out[static HF_MERKLE_HASH_BYTES], const struct hf_merkle_node *left, const struct hf_merkle_node *right)
{
	uint8_t block[HF_BLAKE2B_BLOCK_BYTES] = {0};

	put_head(block, TYPE_PARENT, left->size + right->size);
	memcpy(block + HEAD_BYTES, left->hash, HF_MERKLE_HASH_BYTES);
	memcpy(block + HEAD_BYTES + HF_MERKLE_HASH_BYTES, right->hash, HF_MERKLE_HASH_BYTES);
	hf_blake2b_256_block(out, block, HEAD_BYTES + 2 * HF_MERKLE_HASH_BYTES);
}

void hf_tree_hash_init(struct hf_tree_hash *tree)
{
	uint8_t type = TYPE_ROOTS;

	hf_blake2b_init(&tree->hash, HF_MERKLE_HASH_BYTES, no_key);
	hf_blake2b_update(&tree->hash, &type, 1);
}

void hf_tree_hash_add(struct hf_tree_hash *tree, uint64_t index, const struct hf_merkle_node *root)
{
	uint8_t bytes[HF_MERKLE_HASH_BYTES + 16];

	memcpy(bytes, root->hash, HF_MERKLE_HASH_BYTES);
	hf_store_le64(bytes + HF_MERKLE_HASH_BYTES, index);
	hf_store_le64(bytes + HF_MERKLE_HASH_BYTES + 8, root->size);
	hf_blake2b_update(&tree->hash, bytes, sizeof bytes);
}

void hf_tree_hash_final(struct hf_tree_hash *tree, uint8_t out[static HF_MERKLE_HASH_BYTES])
{
	hf_blake2b_final(&tree->hash, out, HF_MERKLE_HASH_BYTES);
}

size_t hf_signable(uint8_t out[static HF_SIGNABLE_BYTES_MAX], const uint8_t *context,
	const uint8_t tree_hash[static HF_MERKLE_HASH_BYTES], uint64_t length, uint64_t fork)
{
	uint8_t *at = out;

	memcpy(at, hf_namespaces[HF_NAMESPACE_TREE], HF_NAMESPACE_BYTES);
	at += HF_NAMESPACE_BYTES;
	if (context != NULL) {
		memcpy(at, context, 32);
		at += 32;
	}
	memcpy(at, tree_hash, HF_MERKLE_HASH_BYTES);
	hf_store_le64(at + HF_MERKLE_HASH_BYTES, length);
	hf_store_le64(at + HF_MERKLE_HASH_BYTES + 8, fork);
	return (size_t)(at + HF_MERKLE_HASH_BYTES + 16 - out);
}
