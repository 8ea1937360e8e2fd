"""Objects of S3, through obstore: one GET an image and no HEAD.

Credentials, region and endpoint come from the standard AWS variables (`AWS_ENDPOINT_URL` too).
"""
