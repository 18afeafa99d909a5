// The mirror: a storage account that keeps every version, and roles that can add to it and read it, and cannot delete.

param location string
param name string
param sku string
param softDeleteDays int
param immutableDays int
param coolVersionsAfterDays int
param tags bool
param lock bool
param writerPrincipalId string
param restorePrincipalId string
param restorePrincipalType string

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: take('${toLower(replace(name, '-', ''))}${uniqueString(resourceGroup().id)}', 24)
  location: location
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    accessTier: 'Hot'
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    allowBlobPublicAccess: false
    // No key means that no key can be stolen, and that the roles below are all there is.
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    // Versions do not exist with a hierarchical namespace.
    isHnsEnabled: false
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: true
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
      allowPermanentDelete: false
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

resource mirror 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobs
  name: 'mirror'
  properties: {
    publicAccess: 'None'
    immutableStorageWithVersioning: immutableDays > 0 ? {
      enabled: true
    } : null
  }
}

// Unlocked: an administrator can still shorten or remove it. Lock it once you are sure; that cannot be undone.
resource immutability 'Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies@2023-05-01' = if (immutableDays > 0) {
  parent: mirror
  name: 'default'
  properties: {
    immutabilityPeriodSinceCreationInDays: immutableDays
    allowProtectedAppendWrites: false
  }
}

// The account's only rules. It is always deployed, switched off where it is not wanted: what a deployment leaves out stays as it was. It deletes nothing: days
// count from a version's creation and not from its replacement, so the oldest versions may be the ones that a restore needs tomorrow.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2023-05-01' = {
  parent: account
  name: 'default'
  dependsOn: [
    blobs
  ]
  properties: {
    policy: {
      rules: [
        {
          name: 'cool-old-versions'
          enabled: coolVersionsAfterDays > 0
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                'mirror/'
              ]
            }
            actions: {
              version: {
                tierToCool: {
                  // A rule that is off needs a number as well.
                  daysAfterCreationGreaterThan: coolVersionsAfterDays > 0 ? coolVersionsAfterDays : 36500
                }
              }
            }
          }
        }
      ]
    }
  }
}

resource accountLock 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
  name: '${account.name}-keep'
  scope: account
  properties: {
    level: 'CanNotDelete'
    notes: 'Holds the history of Cosmos DB containers.'
  }
}

// Reads and adds. It has no delete, no deletion of versions, no permanent deletion, no change of tiers or policies, and of tags only where they are
// asked for. What protects versions is the container's default policy: a role that may set policies may remove unlocked ones too.
resource writer 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, name, 'writer')
  properties: {
    roleName: '${name} writer (${uniqueString(resourceGroup().id)})'
    description: 'Adds versions of blobs and reads them; deletes nothing.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: [
          'Microsoft.Storage/storageAccounts/blobServices/read'
          // What check asks of the account: its kind and its redundancy.
          'Microsoft.Storage/storageAccounts/blobServices/getInfo/action'
          'Microsoft.Storage/storageAccounts/blobServices/containers/read'
        ]
        notActions: []
        dataActions: concat([
          'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'
          'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write'
          'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action'
        ], tags ? [
          'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/tags/write'
        ] : [])
        notDataActions: []
      }
    ]
  }
}

resource writes 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, writerPrincipalId, writer.id)
  scope: account
  properties: {
    roleDefinitionId: writer.id
    principalId: writerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// A restore reads versions, and writes down what it did.
resource restores 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(restorePrincipalId)) {
  name: guid(account.id, restorePrincipalId, writer.id)
  scope: account
  properties: {
    roleDefinitionId: writer.id
    principalId: restorePrincipalId
    principalType: restorePrincipalType
  }
}

output account string = account.name
output endpoint string = account.properties.primaryEndpoints.blob
output container string = mirror.name
