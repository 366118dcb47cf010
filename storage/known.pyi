"""What is known of an interval of clusterings: joined, cut, weighed, and merged with a flush."""
