#!/usr/bin/env bash
# Two roles with instance profiles: facemill-worker (the bucket) and facemill-head (that, and machines).
# Needs `aws` signed in, and BUCKET, REGION and ACCOUNT replaced in the JSON files beside this one.
set -euo pipefail
cd "$(dirname "$0")"
if grep -lE 'BUCKET|REGION|ACCOUNT' ./*.json; then
    echo "replace BUCKET, REGION and ACCOUNT in these files first" >&2
    exit 2
fi
for role in facemill-worker facemill-head; do
    aws iam get-role --role-name "$role" > /dev/null 2>&1 ||
        aws iam create-role --role-name "$role" --assume-role-policy-document file://trust.json
    for policy in score train; do   # a cluster that only scores: take train out
        aws iam put-role-policy --role-name "$role" --policy-name "$policy" --policy-document "file://$policy.json"
    done
    # Each by itself: a run that was cut between the two is repeated whole.
    aws iam get-instance-profile --instance-profile-name "$role" > /dev/null 2>&1 ||
        aws iam create-instance-profile --instance-profile-name "$role"
    aws iam get-instance-profile --instance-profile-name "$role" --output text | grep ":role/$role" > /dev/null ||
        aws iam add-role-to-instance-profile --instance-profile-name "$role" --role-name "$role"
done
aws iam put-role-policy --role-name facemill-head --policy-name machines --policy-document file://head.json
# Workers are spot machines, and the head may not make the role that spot needs: an account that has
# never used spot lacks it. This fails where it is there.
aws iam create-service-linked-role --aws-service-name spot.amazonaws.com > /dev/null 2>&1 || true
