// The AWS SDK for JavaScript against a gateway: node javascript.cjs ENDPOINT BUCKET.  Ends with 1 at the first surprise.
"use strict";
const assert = require("node:assert/strict");
const { Readable } = require("node:stream");
const s3 = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const [endpoint, Bucket] = process.argv.slice(2);
const client = new s3.S3Client({ endpoint, forcePathStyle: true, maxAttempts: 1 });
const send = (operation, input) => client.send(new s3[`${operation}Command`]({ Bucket, ...input }));
const read = async (input) => Buffer.from(await (await send("GetObject", input)).Body.transformToByteArray());

async function keys() {
  for (const Key of ["a b+c", "ünï/日本", "100%/%20", "x//y", "a/../b", "/lead", "q?a=b&c#d", "'\"(),;:@=!*~$"]) {
    const Body = Buffer.from(Key);
    await send("PutObject", { Key, Body, Metadata: { color: "red" } });
    assert.deepEqual(await read({ Key }), Body);
    await send("CopyObject", { Key: `copy/${Key}`, CopySource: `${Bucket}/${encodeURIComponent(Key)}` });
    assert.equal((await send("HeadObject", { Key: `copy/${Key}` })).Metadata.color, "red");
  }
}

async function checksums() {
  const Body = Buffer.alloc(11 << 20, "x");
  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
    const field = `Checksum${ChecksumAlgorithm}`;
    const whole = await send("PutObject", { Key: "whole", Body, ChecksumAlgorithm });
    const head = await send("HeadObject", { Key: "whole", ChecksumMode: "ENABLED" });
    assert.equal(head[field], whole[field]);
    const pieces = Readable.from([Body.subarray(0, 6 << 20), Body.subarray(6 << 20)]);
    await new Upload({ client, params: { Bucket, Key: "parts", Body: pieces, ChecksumAlgorithm } }).done();
    assert.deepEqual(await read({ Key: "parts", ChecksumMode: "ENABLED" }), Body);
  }
}

async function presigned() {
  const { UploadId } = await send("CreateMultipartUpload", { Key: "part" });
  // The SDK signs the checksum of an empty body into these.
  for (const [operation, input] of [
    ["PutObject", { Key: "put ü" }],
    ["UploadPart", { Key: "part", UploadId, PartNumber: 1 }],
  ]) {
    const url = await getSignedUrl(client, new s3[`${operation}Command`]({ Bucket, ...input }));
    const response = await fetch(url, { method: "PUT", body: "by URL" });
    assert.equal(response.status, 200, await response.text());
  }
  const url = await getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key: "put ü", ResponseContentType: "a/b" }));
  const response = await fetch(url);
  assert.equal(response.headers.get("content-type"), "a/b");
  assert.equal(await response.text(), "by URL");
}

async function emptyAndDelete() {
  for await (const page of s3.paginateListObjectsV2({ client, pageSize: 7 }, { Bucket })) {
    const { Errors } = await send("DeleteObjects", { Delete: { Objects: page.Contents.map(({ Key }) => ({ Key })) } });
    assert.equal(Errors, undefined);
  }
  await assert.rejects(read({ Key: "whole" }), { name: "NoSuchKey" });
  await send("DeleteBucket", {});
}

(async () => {
  await send("CreateBucket", {});
  await keys();
  await checksums();
  await presigned();
  await send("PutObject", { Key: "once", Body: "1", IfNoneMatch: "*" });
  await assert.rejects(send("PutObject", { Key: "once", Body: "2", IfNoneMatch: "*" }), { name: "PreconditionFailed" });
  await emptyAndDelete();
})();
